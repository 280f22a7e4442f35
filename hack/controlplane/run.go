package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// readyWithin is generous: on two busy cores the server needs up to half a minute.
const readyWithin = 2 * time.Minute

// run starts etcd and kube-apiserver, says when they are ready and serves until SIGINT or SIGTERM.
func run(args []string) (err error) {
	started := time.Now()
	opts, err := parseOptions(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	home, err := openStateDir(opts.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, home.close()) }()

	logs, err := redirectLogs(home.path)
	if err != nil {
		return err
	}
	defer func() { logs.close(err) }()

	keys, err := ensureKeys(filepath.Join(home.path, "pki"))
	if err != nil {
		return fmt.Errorf("keys and certificates: %w", err)
	}
	etcd, err := startEtcd(readyWithin)
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	defer etcd.Close()

	server := startAPIServer(keys, opts.port)
	defer func() { err = errors.Join(err, server.stop()) }()

	if err := server.waitReady(readyWithin); err != nil {
		return err
	}
	published, err := publish(opts, home, keys, server.url)
	if err != nil {
		return err
	}
	defer published.remove()

	logs.say("control plane ready after %.1fs: %s KUBECONFIG=%s", time.Since(started).Seconds(), server.url, published.kubeconfig)
	return serve(server, etcd.Err())
}

// serve blocks until a signal has ended the API server or one of the two servers has failed.
func serve(server *apiServer, etcdFailed <-chan error) error {
	select {
	case <-server.signalled:
		return nil
	case <-server.done:
		return fmt.Errorf("kube-apiserver ended: %w", server.err)
	case err := <-etcdFailed:
		return fmt.Errorf("etcd ended: %w", err)
	}
}

// published are the files that tell others of a running server; they go away with it.
type published struct {
	kubeconfig string
	readyFile  string
}

func publish(opts options, home stateDir, keys keyFiles, url string) (published, error) {
	p := published{kubeconfig: opts.kubeconfig, readyFile: opts.readyFile}
	if p.kubeconfig == "" {
		p.kubeconfig = filepath.Join(home.path, "kubeconfig")
	}
	if err := writeKubeconfig(p.kubeconfig, url, keys); err != nil {
		return p, fmt.Errorf("kubeconfig: %w", err)
	}
	if p.readyFile == "" {
		return p, nil
	}
	return p, os.WriteFile(p.readyFile, []byte(url+"\n"), 0o644)
}

func (p published) remove() {
	_ = os.Remove(p.kubeconfig)
	if p.readyFile != "" {
		_ = os.Remove(p.readyFile)
	}
}

// stateDir is the working directory of the process while it serves: etcd's unix sockets are named relative to it.
type stateDir struct {
	path      string
	temporary bool
}

func openStateDir(dir string) (stateDir, error) {
	home := stateDir{path: dir}
	if dir == "" {
		temp, err := os.MkdirTemp("", "controlplane-")
		if err != nil {
			return home, err
		}
		home = stateDir{path: temp, temporary: true}
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return home, err
	}
	return home, os.Chdir(home.path)
}

func (d stateDir) close() error {
	if err := os.Chdir(os.TempDir()); err != nil || !d.temporary {
		return err
	}
	return os.RemoveAll(d.path)
}

// within runs check until it succeeds, the time is over or ctx ends; the last error says what was missing.
func within(ctx context.Context, limit time.Duration, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-tick.C:
		}
	}
}
