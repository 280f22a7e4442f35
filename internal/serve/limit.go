package serve

import (
	"errors"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limiters bound the requests and the downloads of each user.
type limiters struct {
	mu        sync.Mutex
	users     map[string]*rate.Limiter
	downloads map[string]int
	all       int
}

func newLimiters() *limiters {
	return &limiters{users: map[string]*rate.Limiter{}, downloads: map[string]int{}}
}

// begin tells whether the user may begin a download, which takes as long as a client likes. It has to be ended.
func (l *limiters) begin(user string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == downloadsTogether || l.downloads[user] == perUserDownloads {
		return false
	}
	l.all++
	l.downloads[user]++
	return true
}

// end ends a download.
func (l *limiters) end(user string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.downloads[user]--; l.downloads[user] == 0 {
		delete(l.downloads, user)
	}
}

// allow tells whether the user may ask now.
func (l *limiters) allow(user string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.users[user]
	if one == nil {
		if len(l.users) >= usersKept {
			clear(l.users) // forgives everybody once, and bounds the memory
		}
		one = rate.NewLimiter(perUserPerSecond, perUserAtOnce)
		l.users[user] = one
	}
	return one.AllowN(now, 1)
}

// patient ends a response whose client does not take the next piece in time, however long the whole takes.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
	now     func() time.Time
}

// Write gives the client time for one more piece.
func (p *patient) Write(b []byte) (int, error) {
	if err := p.control.SetWriteDeadline(p.now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return p.ResponseWriter.Write(b)
}

// Unwrap lets a ResponseController reach the connection.
func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }
