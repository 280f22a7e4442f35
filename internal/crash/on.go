//go:build crashpoints

package crash

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Enabled tells whether points can kill the process.
const Enabled = true

var (
	mu   sync.Mutex
	hits = map[string]int{}
)

// Hit kills the process, as kill -9 does, if LETHE_CRASH_AT names this point; NAME#3 is the third hit of it. With
// LETHE_CRASH_TRACE every hit is noted in that file, which tells a test where there is something to kill.
func (p Point) Hit() {
	mu.Lock()
	hits[p.name]++
	count := hits[p.name]
	if path := os.Getenv("LETHE_CRASH_TRACE"); path != "" {
		note(path, p.name+"\n")
	}
	mu.Unlock()
	name, number, _ := strings.Cut(os.Getenv("LETHE_CRASH_AT"), "#")
	if name != p.name || (number != "" && number != strconv.Itoa(count)) {
		return
	}
	// The file tells the test that the point was reached: the process itself can say nothing any more.
	if path := os.Getenv("LETHE_CRASH_MARK"); path != "" {
		_ = os.WriteFile(path, []byte(p.name), 0o600)
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

func note(path, text string) {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer func() { _ = file.Close() }()
	_, _ = file.WriteString(text)
}
