package backendtest

import (
	"fmt"
	"math/rand"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/internal/backend"
)

// testSweepConcurrent: an application inserts, makes records due and not due, counts in them, and reads, while they are swept.
func testSweepConcurrent(t *testing.T, e *sweepEnv) {
	const people, writers, enough = 1200, 3, 60
	var rows []string
	for i := range people {
		rows = append(rows, fmt.Sprintf("(%d, 0, NULL, 'e%d', NULL, 'open', '%s', NULL, NULL)", i, i, oldDay))
	}
	e.Exec(t, "INSERT INTO candidate VALUES "+strings.Join(rows, ", "))
	var done atomic.Bool
	var wait sync.WaitGroup
	apps := make([]*writer, writers)
	for w := range apps {
		apps[w] = &writer{session: e.db.Session(t), random: rand.New(rand.NewSource(int64(w))), number: w, writers: writers, people: people,
			saved: map[int]int{}, busy: map[int]bool{}, fresh: map[int]bool{}}
		wait.Go(func() {
			for !done.Load() {
				apps[w].write()
			}
		})
	}
	s := candidates()
	s.Keep = []backend.SweepTest{{Name: "busy", Path: []backend.Hop{toApplication}, Clock: &backend.SweepClock{Column: "moved"}, Cutoff: sweepCutoff}}
	wrote := func() (n int64) {
		for _, a := range apps {
			n += a.met.Load()
		}
		return n
	}
	for rounds := 0; rounds < 4 || wrote() < enough && rounds < 1000; rounds++ {
		e.sweepBeside(t, s)
	}
	done.Store(true)
	wait.Wait()
	for {
		if r := e.batch(t, s, backend.SweepBatch{}); r.Last == nil {
			break
		}
	}
	left := e.Dump(t, "SELECT id, tenant FROM candidate")
	for _, a := range apps {
		a.judge(t, left)
	}
	if wrote() < enough {
		t.Errorf("the application wrote %d times only", wrote())
	}
	WantEqual(t, "due in the end", e.count(t, s).Due, int64(0))
	WantEqual(t, "orphans", e.Dump(t, "SELECT id FROM application WHERE candidate_id NOT IN (SELECT id FROM candidate)"), []string(nil))
}

func (e *sweepEnv) sweepBeside(t *testing.T, s *backend.Sweep) {
	t.Helper()
	b := backend.SweepBatch{Limit: 50}
	for {
		r, err := e.s.SweepBatch(ctx, s, b)
		if err != nil {
			if _, ok := err.(*backend.UnavailableError); ok { //nolint:errorlint // as it is returned: a lock that the application holds too long
				continue
			}
			t.Fatalf("SweepBatch: %v", err)
		}
		if r.Last == nil {
			return
		}
		b.After = r.Last
		clock.RealClock{}.Sleep(2 * time.Millisecond) // where there is one lock for all, the application must get it now and then
	}
}

// writer is one session of the application with people of its own.
type writer struct {
	session                 func(string) (int64, error)
	random                  *rand.Rand
	number, writers, people int
	// saved are those that it made not due, with how often it counted in them; busy those that got a child that keeps them;
	// fresh those that it inserted, not due.
	saved map[int]int
	busy  map[int]bool
	fresh map[int]bool
	met   atomic.Int64
}

// run runs a statement and tells whether it met a record. That somebody else holds a lock for too long is no failure.
func (w *writer) run(format string, args ...any) bool {
	n, err := w.session(fmt.Sprintf(format, args...))
	if err != nil || n != 1 {
		return false
	}
	w.met.Add(1)
	return true
}

// write does one thing.
func (w *writer) write() {
	i := w.random.Intn(w.people/w.writers)*w.writers + w.number
	switch w.random.Intn(5) {
	case 0: // it is no longer due, if it is there
		if w.run("UPDATE candidate SET seen = '%s', tenant = tenant + 1 WHERE id = %d", newDay, i) {
			w.saved[i]++
		}
	case 1:
		if _, ok := w.saved[i]; ok && w.run("UPDATE candidate SET tenant = tenant + 1 WHERE id = %d", i) {
			w.saved[i]++
		}
	case 2: // a child that keeps it
		if w.run("INSERT INTO application SELECT %d, id, '%s', 'x' FROM candidate WHERE id = %d AND NOT EXISTS (SELECT 1 FROM application WHERE candidate_id = %d)", 100000+i, newDay, i, i) {
			w.busy[i] = true
		}
	case 3:
		n := 1000000 + w.number*100000 + len(w.fresh)
		if w.run("INSERT INTO candidate VALUES (%d, 7, NULL, 'n', NULL, 'open', '%s', NULL, NULL)", n, newDay) {
			w.fresh[n] = true
		}
	default:
		w.run("SELECT count(*) FROM candidate WHERE id < %d", i)
	}
}

// judge compares what is left with what the writer did.
func (w *writer) judge(t *testing.T, left []string) {
	byID := map[int]int{}
	for _, line := range left {
		var i, n int
		if _, err := fmt.Sscanf(line, "%d|%d", &i, &n); err != nil {
			t.Fatal(err)
		}
		byID[i] = n
	}
	for i := range w.fresh {
		if byID[i] != 7 {
			t.Errorf("%d was inserted, never due, and is gone", i)
		}
	}
	for i, counted := range w.saved {
		if n, there := byID[i]; !there || n != counted {
			t.Errorf("%d was made not due and written %d times; there: %t, written %d times", i, counted, there, n)
		}
	}
	for i := range w.busy {
		if _, there := byID[i]; !there {
			t.Errorf("%d got a child that keeps it, and is gone", i)
		}
	}
	t.Logf("writer %d: %d made not due, %d got a child, %d new", w.number, len(w.saved), len(w.busy), len(w.fresh))
}
