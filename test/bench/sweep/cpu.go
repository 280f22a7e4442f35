package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// cpu is how much of it the server's processes and this one have used so far: on a machine that has other work to do, it tells more
// than the time on the clock. It is zero where there is no /proc.
func cpu(ctx context.Context, conn *pgx.Conn) (time.Duration, error) {
	var pid int
	if err := conn.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		return 0, err
	}
	_, server, _ := processor(pid)
	paths, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return 0, fmt.Errorf("the time of this process: %w", err)
	}
	total := time.Duration(own.Utime.Nano() + own.Stime.Nano())
	for _, p := range paths {
		pid, _ := strconv.Atoi(filepath.Base(p))
		used, parent, ok := processor(pid)
		if ok && (parent == server || pid == server) {
			total += used
		}
	}
	return total, nil
}

// processor is the time that a process has used and its parent.
func processor(pid int) (used time.Duration, parent int, ok bool) {
	const ticks = 100 // a second, on Linux
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, false
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 15 {
		return 0, 0, false
	}
	parent, _ = strconv.Atoi(fields[1])
	for _, i := range []int{11, 12, 13, 14} { // of itself and of its children that ended
		n, _ := strconv.Atoi(fields[i])
		used += time.Duration(n) * time.Second / ticks
	}
	return used, parent, true
}
