package ledgersqlite

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/lethe-dev/lethe/internal/ledger"
)

const crashFile = "LETHE_LEDGER_CRASH_FILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashFile); path != "" {
		appendForEver(path)
	}
	os.Exit(m.Run())
}

// appendForEver is the child: it appends, and says what was acknowledged, until it is killed.
func appendForEver(path string) {
	l, err := tryOpen(path)
	if err != nil {
		fmt.Fprintln(os.Stdout, "error", err)
		os.Exit(1)
	}
	from := uint64(0)
	if c, err := l.Checkpoint(ctx, "hr"); err == nil {
		from = c.Size
	}
	for i := 0; ; i++ {
		key := fmt.Sprintf("%d-%d", from, i)
		entries := []ledger.Entry{entry(key)}
		if i%3 == 0 {
			entries = append(entries, entry(key+"b"), entry(key+"c"))
		}
		r, err := l.Append(ctx, "hr", entries...)
		if err != nil {
			fmt.Fprintln(os.Stdout, "error", err)
			os.Exit(1)
		}
		fmt.Fprintf(os.Stdout, "ack %s %d %d %x\n", key, r.Indexes[0], r.Checkpoint.Size, r.Checkpoint.Root)
	}
}

// Killed in the middle of appending, again and again: what was acknowledged is there at its place, the tree continues
// every checkpoint that was given out, and the lock is free at once.
func TestKilledProcessLosesNothingAcknowledged(t *testing.T) {
	g := NewWithT(t)
	path := filepath.Join(t.TempDir(), "l.db")
	var known []ledger.Checkpoint
	acknowledged := map[string]uint64{}
	for round := range 25 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), crashFile+"="+path)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(child.Start()).To(Succeed())
		lines := bufio.NewScanner(out)
		killed := false
		for lines.Scan() {
			var key string
			var index uint64
			var c ledger.Checkpoint
			if n, _ := fmt.Sscanf(lines.Text(), "ack %s %d %d %x", &key, &index, &c.Size, &c.Root); n != 4 || len(c.Root) != 32 {
				g.Expect(strings.HasPrefix(lines.Text(), "error")).To(BeFalse(), lines.Text())
				continue // cut off by the kill
			}
			c.OriginLine = "lethe.dev/test/hr"
			acknowledged[key], known = index, append(known, c)
			if !killed { // a little later, in the middle of something
				killed = true
				time.AfterFunc(time.Duration(round*3)*time.Millisecond+time.Duration(round*137)*time.Microsecond, func() { _ = child.Process.Signal(syscall.SIGKILL) })
			}
		}
		_ = child.Wait()
	}
	l := open(t, path)
	g.Expect(len(acknowledged)).To(BeNumerically(">", 25), "more than one append each time it was killed")
	for key, index := range acknowledged {
		r, err := l.Find(ctx, "hr", key)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(r.Index).To(Equal(index))
	}
	verifyAll(t, l, "hr", known)
	t.Logf("%d acknowledged appends in %d lives", len(acknowledged), l.db.Epoch()-1)
}
