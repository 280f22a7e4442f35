package serve

import (
	"errors"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limiters bound how often each user asks.
type limiters struct {
	mu    sync.Mutex
	users map[string]*rate.Limiter
}

func newLimiters() *limiters { return &limiters{users: map[string]*rate.Limiter{}} }

// rooms bound the answers under way, which take as long as a client likes, of each user and of all together.
type rooms struct {
	perUser, together int

	mu    sync.Mutex
	users map[string]int
	all   int
}

func newRooms(perUser, together int) *rooms {
	return &rooms{perUser: perUser, together: together, users: map[string]int{}}
}

// begin takes a room, which has to be left, or refuses.
func (r *rooms) begin(user string) (leave func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == r.together || r.users[user] == r.perUser {
		return nil, refuse(http.StatusTooManyRequests, "too many requests are under way; try again in a few seconds")
	}
	r.all++
	r.users[user]++
	return func() { r.end(user) }, nil
}

func (r *rooms) end(user string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all--
	if r.users[user]--; r.users[user] == 0 {
		delete(r.users, user)
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
