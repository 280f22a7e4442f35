package serve

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	testclock "k8s.io/utils/clock/testing"
)

func TestEachUserHasABound(t *testing.T) {
	l, now := newLimiters(), time.Unix(0, 0)
	for i := range perUserAtOnce {
		if !l.allow("a", now) {
			t.Fatalf("request %d was refused", i)
		}
	}
	if l.allow("a", now) {
		t.Error("there is no bound")
	}
	if !l.allow("b", now) {
		t.Error("somebody else has to wait for it")
	}
	if !l.allow("a", now.Add(time.Second)) {
		t.Error("it never ends")
	}
	for i := range 2 * usersKept {
		l.allow(fmt.Sprint(i), now)
	}
	if len(l.users) > usersKept {
		t.Errorf("%d users are kept", len(l.users))
	}
}

// One user with slow clients leaves room for others, and all together have a bound.
func TestNobodyHasAllDownloads(t *testing.T) {
	r := newRooms(perUserDownloads, downloadsTogether)
	leave := map[string]func(){}
	for i, users := range []int{1, 2, 3, 4} {
		for range downloadsTogether {
			if l, err := r.begin(fmt.Sprint(i)); err == nil {
				leave[fmt.Sprint(i)] = l
			}
		}
		if want := users * perUserDownloads; r.all != want {
			t.Fatalf("%d users have %d downloads, want %d", users, r.all, want)
		}
	}
	if _, err := r.begin("another"); err == nil {
		t.Error("there is no bound of all together")
	}
	leave["0"]()
	last, err := r.begin("another")
	if err != nil {
		t.Fatal("the room that one left is not the next one's")
	}
	if _, err := r.begin("0"); err == nil {
		t.Error("the room that one left is there twice")
	}
	last()
	if len(r.users) != 4 {
		t.Errorf("%d users are kept", len(r.users))
	}
}

// Who sends no token costs the API server nothing, and hears how to send one; too many of them are told to wait.
func TestWithoutATokenNobodyIsAsked(t *testing.T) {
	s, err := New(Options{Address: "127.0.0.1:0", Clock: testclock.NewFakeClock(time.Unix(0, 0)), Log: logr.Discard()}) // no client: asking would panic
	if err != nil {
		t.Fatal(err)
	}
	got := map[int]int{}
	for i := range 2 * requestsAtOnce {
		r := httptest.NewRequest(http.MethodGet, "/exports/hr/quarter", nil)
		r.Header.Set("Authorization", []string{"", "Basic eDp5", "Bearer ", "Bearer", "Bearer " + strings.Repeat("x", maxToken+1)}[i%5])
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		got[w.Code]++
		if w.Code == http.StatusUnauthorized && (w.Header().Get("WWW-Authenticate") == "" || !strings.Contains(w.Body.String(), "kubectl create token")) {
			t.Fatalf("%v %s", w.Header(), w.Body)
		}
		if w.Code == http.StatusTooManyRequests && w.Header().Get("Retry-After") == "" {
			t.Fatal("nobody says when to come again")
		}
	}
	if got[http.StatusUnauthorized] != requestsAtOnce || got[http.StatusTooManyRequests] != requestsAtOnce {
		t.Errorf("%v", got)
	}
}
