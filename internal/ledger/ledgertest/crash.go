package ledgertest

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega" //nolint:staticcheck // the matchers read as sentences, as in all tests

	"github.com/lethe-dev/lethe/internal/ledger"
)

// childEnv has the address of the ledger to which a child process appends.
const childEnv = "LETHE_LEDGERTEST_ADDRESS"

// generationEnv has the generation of the key with which it signs; 1 by default.
const generationEnv = "LETHE_LEDGERTEST_GENERATION"

// Child is for TestMain: in a process that the suite has started it does its work and does not return.
func Child(e Engine) {
	if address := os.Getenv(childEnv); address != "" {
		appendForEver(e, address)
	}
}

// appendForEver appends, and says what was acknowledged, until it is killed or may no longer write.
func appendForEver(e Engine, address string) {
	generation := byte(1)
	if text := os.Getenv(generationEnv); text != "" {
		n, _ := strconv.Atoi(text)
		generation = byte(n)
	}
	l, err := e.OpenAt(address, Signer(generation), rotations(generation)...)
	if err != nil {
		fmt.Fprintln(os.Stdout, "error", err)
		os.Exit(1)
	}
	from := uint64(0)
	if c, err := l.Checkpoint(ctx, "hr"); err == nil {
		from = c.Size
	}
	for i := 0; ; i++ {
		key := fmt.Sprintf("%d-%d-%d", os.Getpid(), from, i)
		entries := []ledger.Entry{Entry(key)}
		if i%3 == 0 {
			entries = append(entries, Entry(key+"b"), Entry(key+"c"))
		}
		r, err := l.Append(ctx, "hr", entries...)
		if err != nil {
			fmt.Fprintln(os.Stdout, "error", err)
			os.Exit(1)
		}
		fmt.Fprintf(os.Stdout, "ack %s %d %d %x\n", key, r.Indexes[0], r.Checkpoint.Size, r.Checkpoint.Root)
	}
}

// Acknowledged is what children were told that it is durable. Several may be read at once.
type Acknowledged struct {
	mu sync.Mutex
	// Indexes by key.
	Indexes map[string]uint64
	// Known checkpoints.
	Known []ledger.Checkpoint
}

func (a *Acknowledged) add(key string, index uint64, c ledger.Checkpoint) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.Indexes == nil {
		a.Indexes = map[string]uint64{}
	}
	a.Indexes[key] = index
	a.Known = append(a.Known, c)
}

// ChildProcess is another process that appends.
type ChildProcess struct {
	*exec.Cmd
	lines *bufio.Scanner
}

// StartChild starts a process that appends to the ledger at an address. The caller reads it with Next to the end.
func StartChild(t testing.TB, address string) *ChildProcess {
	t.Helper()
	return startChild(t, address, 1)
}

func startChild(t testing.TB, address string, generation byte) *ChildProcess {
	t.Helper()
	c := &ChildProcess{Cmd: exec.Command(os.Args[0])}
	c.Env = append(os.Environ(), childEnv+"="+address, fmt.Sprint(generationEnv, "=", generation))
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	c.lines = bufio.NewScanner(out)
	return c
}

// Next waits for an acknowledgement and adds it. At the end it returns false and the error that the child gave as its reason.
func (c *ChildProcess) Next(a *Acknowledged) (more bool, reason string) {
	for c.lines.Scan() {
		var key string
		var index uint64
		checkpoint := ledger.Checkpoint{OriginLine: ledger.OriginLine(LogName, "hr")}
		if n, _ := fmt.Sscanf(c.lines.Text(), "ack %s %d %d %x", &key, &index, &checkpoint.Size, &checkpoint.Root); n != 4 || len(checkpoint.Root) != 32 {
			if text, ok := strings.CutPrefix(c.lines.Text(), "error "); ok {
				reason = text
			}
			continue // cut off by the kill, or the reason of an end
		}
		a.add(key, index, checkpoint)
		return true, ""
	}
	_ = c.Wait()
	return false, reason
}

// AllThere checks that everything acknowledged is at its place, in one log that continues every checkpoint.
func (a *Acknowledged) AllThere(t testing.TB, l Log) {
	t.Helper()
	a.there(NewWithT(t), l)
	Verify(t, l, "hr", a.Known)
}

// there checks that everything acknowledged is at its place, and puts the checkpoints in order.
func (a *Acknowledged) there(g Gomega, l Log) {
	for key, index := range a.Indexes {
		r, err := l.Find(ctx, "hr", key)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(r.Index).To(Equal(index))
	}
	slices.SortStableFunc(a.Known, func(a, b ledger.Checkpoint) int { return cmp.Compare(a.Size, b.Size) })
}

// Killed in the middle of appending, again and again: what was acknowledged is there at its place, the tree continues
// every checkpoint that was given out, and the next one gets the lock.
func testKilled(t *testing.T, e Engine) {
	g := NewWithT(t)
	place := e.New(t)
	var acknowledged Acknowledged
	for round := range 25 {
		child := StartChild(t, place.Address())
		killed := false
		for {
			more, reason := child.Next(&acknowledged)
			if !more {
				g.Expect(reason).To(BeEmpty())
				break
			}
			if !killed { // a little later, in the middle of something
				killed = true
				time.AfterFunc(time.Duration(round*3)*time.Millisecond+time.Duration(round*137)*time.Microsecond, func() { _ = child.Process.Signal(syscall.SIGKILL) })
			}
		}
	}
	l, err := e.OpenAt(place.Address(), Signer(1))
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = l.Close() }()
	g.Expect(len(acknowledged.Indexes)).To(BeNumerically(">", 25), "more than one append each time it was killed")
	acknowledged.AllThere(t, l)
	t.Logf("%d acknowledged appends in %d lives", len(acknowledged.Indexes), l.Epoch()-1)
}
