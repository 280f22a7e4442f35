package redistest

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// Proxy forwards connections to a server, and can keep the server's answers back.
type Proxy struct {
	target   string
	listener net.Listener
	mute     atomic.Bool
	mu       sync.Mutex
	conns    []net.Conn
}

// NewProxy listens on a free port of the loopback.
func NewProxy(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{target: target, listener: l}
	go p.serve()
	return p, nil
}

// Addr is the proxy's host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Mute loses what the server answers from now on, or lets answers of new connections through again.
func (p *Proxy) Mute(mute bool) { p.mute.Store(mute) }

// Drop ends all connections.
func (p *Proxy) Drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// Close ends the proxy and its connections.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.Drop()
	return err
}

func (p *Proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		go forward(server, client)
		go forward(&mutable{client, &p.mute}, server)
	}
}

func forward(to io.WriteCloser, from io.Reader) {
	_, _ = io.Copy(to, from)
	_ = to.Close()
}

// mutable loses what is written while mute is set.
type mutable struct {
	net.Conn
	mute *atomic.Bool
}

func (m *mutable) Write(b []byte) (int, error) {
	if m.mute.Load() {
		return len(b), nil
	}
	return m.Conn.Write(b)
}

// ReadFrom keeps io.Copy from going past Write.
func (m *mutable) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{m}, r)
}
