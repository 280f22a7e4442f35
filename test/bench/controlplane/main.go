// Command controlplane measures the operator beside 100,000 ErasureRequests that wait in their grace period: the memory that
// they take, how long it takes until the operator is ready, what it asks of the API server for them, and, beside them,
// whether requests begin at their time and how fast a burst that is due at once ends.
//
// It prints one line per figure: BENCH name value, and says on standard error what is above its target. The Kubernetes API is
// real etcd and kube-apiserver on this machine, the vault and the data are SQLite, admission is on. What the API server takes
// by itself is measured in the same run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"
)

// Targets. What misses them is said on standard error.
const (
	targetHeapMiB      = 150.0
	targetReady        = 2.0 // times a plain list
	targetStatusWrites = 7.0 // of a request and its run
	targetLate         = 5.0 // seconds
	targetBurst        = 0.5 // of the rate that the API server's own write rate allows
)

type options struct {
	requests, burst, spread int
	admission               bool
}

func main() {
	var o options
	flag.IntVar(&o.requests, "requests", 100_000, "requests that wait in their grace period")
	flag.IntVar(&o.burst, "burst", 1000, "requests that are due at once")
	flag.IntVar(&o.spread, "spread", 60, "requests that are due one after the other, two in a second")
	flag.BoolVar(&o.admission, "admission", true, "have the operator serve the webhooks")
	flag.Parse()
	if err := run(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	w, err := newWorld(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	idle, err := w.idle(ctx)
	if err != nil {
		return err
	}
	if err := w.intake(ctx); err != nil {
		return err
	}
	if err := w.seed(ctx); err != nil {
		return err
	}
	plain, err := w.plainList(ctx)
	if err != nil {
		return err
	}
	dues, patches, err := w.schedule(ctx, plain)
	if err != nil {
		return err
	}
	if err := w.start(ctx, idle, plain); err != nil {
		return err
	}
	return w.end(ctx, dues, patches)
}

// figure prints a figure.
func figure(name string, value float64) {
	fmt.Printf("BENCH controlplane_%s %s\n", name, digits(value))
}

// digits has three of them, and all of those before the point.
func digits(value float64) string {
	if value >= 100 {
		return fmt.Sprintf("%.0f", value)
	}
	return fmt.Sprintf("%.3g", value)
}

// atMost prints a figure and says if it is above its target.
func atMost(name string, value, target float64) {
	figure(name, value)
	if value > target {
		fmt.Fprintf(os.Stderr, "controlplane: %s is %s, above its target of %s\n", name, digits(value), digits(target))
	}
}

// atLeast prints a figure and says if it is below its target.
func atLeast(name string, value, target float64) {
	figure(name, value)
	if value < target {
		fmt.Fprintf(os.Stderr, "controlplane: %s is %s, below its target of %s\n", name, digits(value), digits(target))
	}
}

func note(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s controlplane: "+format+"\n", append([]any{time.Now().Format(time.TimeOnly)}, args...)...)
}
