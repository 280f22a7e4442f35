package projectionsqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/projection"
)

// lives are entries of n requests, three each.
func lives(from, n int) []ledger.Entry {
	var entries []ledger.Entry
	for i := from; i < from+n; i++ {
		handle, at := fmt.Sprintf("h%06d", i), start.Add(time.Duration(i)*time.Minute)
		entries = append(entries, ledger.Entry{Key: handle + "/received", Time: at, Kind: ledger.KindErasureReceived, Handle: handle, Reason: "Subject", Actor: "alice",
			Attributes: map[string]string{ledger.AttributeDueAt: at.AddDate(0, 1, 0).Format(time.RFC3339)}},
			ledger.Entry{Key: handle + "/outcome", Time: at.Add(time.Second), Kind: ledger.KindErasureOutcome, Handle: handle},
			ledger.Entry{Key: handle + "/completed", Time: at.Add(2 * time.Second), Kind: ledger.KindErasureCompleted, Handle: handle, Counts: []ledger.Count{{Category: "notes", Action: "Delete", Count: 2}}})
	}
	return entries
}

// memory is a ledger that can be changed as nobody can change one.
type memory struct {
	mu      sync.Mutex
	records []ledger.Record
	err     error
}

func (m *memory) put(t testing.TB, entries ...ledger.Entry) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range entries {
		leaf, err := ledger.EncodeLeaf(e)
		if err != nil {
			t.Fatal(err)
		}
		m.records = append(m.records, ledger.Record{Index: uint64(len(m.records)), Leaf: leaf, Entry: e})
	}
}

func (m *memory) Entries(_ context.Context, _ string, from uint64, limit int) ([]ledger.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	size := uint64(len(m.records))
	return m.records[min(from, size):min(from+uint64(limit), size)], m.err
}

func expectAll(t testing.TB, x *Index, m *memory) {
	t.Helper()
	g := NewWithT(t)
	want := naive(m.records)
	s, err := x.Statistics(ctx, "hr", projection.Period{}, start)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s).To(Equal(want.Statistics(projection.Period{}, start)))
	f := projection.RequestFilter{Actors: []string{"alice"}}
	r, err := x.Requests(ctx, "hr", f, 0, 0)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(r).To(Equal(want.Requests(f, 0, ledger.MaxPage)))
}

func TestPagesFollowOneAnother(t *testing.T) {
	g := NewWithT(t)
	m := &memory{}
	m.put(t, lives(0, 900)...)
	x := newIndex(t, m)
	f := projection.EntryFilter{Kinds: []string{"erasure."}, Actors: []string{"alice"}}
	var found []ledger.Record
	for from := uint64(0); ; {
		page, err := x.Entries(ctx, "hr", f, from, 100)
		g.Expect(err).NotTo(HaveOccurred())
		if len(page) == 0 {
			break
		}
		g.Expect(len(page)).To(BeNumerically("<=", 100))
		found, from = append(found, page...), page[len(page)-1].Index+1
	}
	g.Expect(found).To(Equal(naive(m.records).Entries(f, 0, 1<<30)))
	g.Expect(found).To(HaveLen(900))
	for _, origin := range []string{"it", "Not a namespace"} {
		empty := New(&memory{}, Options{Path: filepath.Join(t.TempDir(), "i")})
		s, err := empty.Statistics(ctx, origin, projection.Period{}, start)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(s).To(BeZero())
		g.Expect(empty.Close()).To(Succeed())
	}
}

// A ledger that was set back, cut short or replaced is taken in anew.
func TestAnotherLedgerIsTakenInAnew(t *testing.T) {
	m := &memory{}
	m.put(t, lives(0, 500)...)
	x := newIndex(t, m)
	expectAll(t, x, m)
	m.records = m.records[:700]
	expectAll(t, x, m)
	m.records = nil
	m.put(t, lives(5000, 400)...)
	expectAll(t, x, m)
	m.records = nil
	expectAll(t, x, m)
}

// What is damaged while it is open is found by the questions that meet it, and built anew.
func TestDamageWhileItIsOpenIsMended(t *testing.T) {
	for name, statement := range map[string]string{
		"a table is gone":          `DROP TABLE days`,
		"an index says nonsense":   `UPDATE entries SET kind = (SELECT id FROM words WHERE text = 'erasure.outcome') WHERE id % 3 = 0`,
		"the position is wrong":    `UPDATE origins SET size = size - 7`,
		"another version is there": `PRAGMA user_version = 99`,
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			m := &memory{}
			m.put(t, lives(0, 400)...)
			x := newIndex(t, m)
			expectAll(t, x, m)
			_, err := x.db.writer.Exec(statement)
			g.Expect(err).NotTo(HaveOccurred())
			if name == "another version is there" || name == "the position is wrong" { // these are found by who opens it, or takes in more
				g.Expect(x.Close()).To(Succeed())
				x = New(m, x.options)
				defer func() { _ = x.Close() }()
				m.put(t, lives(400, 1)...)
			}
			f := projection.EntryFilter{Kinds: []string{ledger.KindErasureOutcome}}
			found, err := x.Entries(ctx, "hr", f, 0, 500)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(found).To(Equal(naive(m.records).Entries(f, 0, 500)))
			expectAll(t, x, m)
		})
	}
}

// A full disk is an error of who asks, and passes with its cause. Nothing else of the file is lost.
func TestAFullDiskConcernsTheReaderAlone(t *testing.T) {
	g := NewWithT(t)
	m := &memory{}
	m.put(t, lives(0, 400)...)
	x := newIndex(t, m)
	expectAll(t, x, m)
	_, err := x.db.writer.Exec("PRAGMA max_page_count = 60")
	g.Expect(err).NotTo(HaveOccurred())
	m.put(t, lives(400, 4000)...)
	_, err = x.Statistics(ctx, "hr", projection.Period{}, start)
	g.Expect(err).To(MatchError(projection.ErrUnavailable))
	g.Expect(err).To(MatchError(ContainSubstring("full")))
	_, err = x.db.writer.Exec("PRAGMA max_page_count = 1000000")
	g.Expect(err).NotTo(HaveOccurred())
	expectAll(t, x, m)
}

func TestClearErrors(t *testing.T) {
	g := NewWithT(t)
	m := &memory{}
	m.put(t, lives(0, 3)...)
	folder := t.TempDir()

	// A folder that is none.
	g.Expect(os.WriteFile(filepath.Join(folder, "file"), nil, 0o600)).To(Succeed())
	_, err := New(m, Options{Path: filepath.Join(folder, "file", "index")}).Statistics(ctx, "hr", projection.Period{}, start)
	g.Expect(err).To(MatchError(projection.ErrUnavailable))

	// Somebody else's database is left alone.
	other := filepath.Join(folder, "other.db")
	x := New(m, Options{Path: other})
	g.Expect(x.Close()).To(Succeed())
	raw := openRaw(t, other)
	_, err = raw.Exec("CREATE TABLE precious (a); INSERT INTO precious VALUES (1)")
	g.Expect(err).NotTo(HaveOccurred())
	for range 2 {
		_, err = New(m, Options{Path: other}).Statistics(ctx, "hr", projection.Period{}, start)
		g.Expect(err).To(MatchError(projection.ErrUnavailable))
	}
	var n int
	g.Expect(raw.QueryRow("SELECT COUNT(*) FROM precious").Scan(&n)).To(Succeed())
	g.Expect(n).To(Equal(1))

	// Two processes.
	path := filepath.Join(folder, "index")
	first, second := New(m, Options{Path: path}), New(m, Options{Path: path, Temporary: true})
	_, err = first.Statistics(ctx, "hr", projection.Period{}, start)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = second.Statistics(ctx, "hr", projection.Period{}, start)
	g.Expect(err).To(MatchError(ContainSubstring("in use by another process")))
	g.Expect(first.Close()).To(Succeed())
	_, err = second.Statistics(ctx, "hr", projection.Period{}, start)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(second.Close()).To(Succeed())
	g.Expect(second.Close()).To(Succeed())
	_, err = os.Stat(path)
	g.Expect(err).To(MatchError(os.ErrNotExist), "it was a temporary one")
	_, err = second.Statistics(ctx, "hr", projection.Period{}, start)
	g.Expect(err).To(MatchError(projection.ErrUnavailable))

	// The ledger's own error, and a context that has ended.
	x = newIndex(t, m)
	m.err = errors.New("the ledger is away")
	_, err = x.Statistics(ctx, "hr", projection.Period{}, start)
	g.Expect(err).To(Equal(m.err))
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = x.Statistics(ended, "hr", projection.Period{}, start)
	g.Expect(err).To(MatchError(context.Canceled))
}

// Many ask while the ledger grows: each answer is at least as new as its question.
func TestAnswersAreNotOlderThanTheirQuestions(t *testing.T) {
	g := NewWithT(t)
	m := &memory{}
	x := newIndex(t, m)
	var group sync.WaitGroup
	group.Go(func() {
		for i := range 200 {
			m.put(t, lives(i*10, 10)...)
		}
	})
	failed := make(chan error, 8)
	for range 4 {
		group.Go(func() {
			for range 100 {
				m.mu.Lock()
				least := int64(len(m.records) / 3)
				m.mu.Unlock()
				s, err := x.Statistics(ctx, "hr", projection.Period{}, start)
				if err == nil && s.Total < least {
					err = fmt.Errorf("%d requests, there were %d", s.Total, least)
				}
				if err != nil {
					failed <- err
					return
				}
			}
		})
	}
	group.Wait()
	g.Expect(failed).To(BeEmpty())
	expectAll(t, x, m)
}

const childEnv = "LETHE_PROJECTIONTEST_PATH"

// child takes in what the test's ledger has, until it is killed.
func child() {
	m := &memory{}
	for i := range 30 {
		m.put(fatal{}, lives(i*100, 100)...)
		x := New(m, Options{Path: os.Getenv(childEnv)})
		if _, err := x.Statistics(ctx, "hr", projection.Period{}, start); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if i == 0 {
			fmt.Fprintln(os.Stdout, "begun")
		}
		_ = x.Close()
	}
	os.Exit(0)
}

type fatal struct{ testing.TB }

func (fatal) Helper()           {}
func (fatal) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// Killed at any moment, the index goes on where it was, or begins anew.
func TestKilledItAnswersTheSame(t *testing.T) {
	g := NewWithT(t)
	path := filepath.Join(t.TempDir(), "index")
	m := &memory{}
	m.put(t, lives(0, 3_000)...)
	killed := 0
	for round := range 12 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+path)
		out, err := cmd.StdoutPipe()
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(cmd.Start()).To(Succeed())
		_, _ = out.Read(make([]byte, 1))
		time.Sleep(time.Duration(round*13) * time.Millisecond)
		_ = cmd.Process.Signal(syscall.SIGKILL)
		if cmd.Wait() != nil {
			killed++
		}
		x := New(m, Options{Path: path})
		expectAll(t, x, m)
		g.Expect(x.Close()).To(Succeed())
		if round%3 == 0 {
			g.Expect(os.Remove(path)).To(Succeed())
		}
	}
	g.Expect(killed).To(BeNumerically(">", 6))
}
