// Command erasure measures how long the erasure of one subject takes on a real PostgreSQL: 10 tables, 50 rows, commits as
// durable as a normal server makes them. Lethe's executor (keys read, sealed plan, ledger, deletion, verification) runs
// against what people write by hand, in the same process and in turns, so that a busy machine slows all of them.
//
// It prints one line per figure: BENCH name value. Times are medians in milliseconds.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/lethe-dev/lethe/internal/backend/sql/postgresql"
	"github.com/lethe-dev/lethe/test/bench/internal/subject"
	"github.com/lethe-dev/lethe/test/pgtest"
)

// Targets of the ratios to the single batch; what is above is said on standard error.
const (
	targetErasure  = 3.0
	targetVerified = 4.0
)

func main() {
	if err := run(context.Background(), subject.Flags()); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o subject.Options) (err error) {
	server, err := pgtest.Start(ctx, pgtest.Options{Fsync: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	database, err := server.CreateDatabase(ctx)
	if err != nil {
		return err
	}
	hand, err := newByHand(ctx, server, database)
	if err != nil {
		return err
	}
	defer hand.close(ctx)
	b, err := postgresql.Open(ctx, postgresql.Config{Host: server.Host, Port: server.Port, Database: database, User: server.User})
	if err != nil {
		return err
	}
	lethe, err := subject.NewLethe(ctx, b, "public")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lethe.Close()) }()
	times, err := subject.Compare(ctx, o, lethe, hand.floor())
	if err != nil {
		return err
	}
	report(times.Medians())
	return nil
}

func report(ms map[string]float64) {
	for _, name := range slices.SortedFunc(maps.Keys(ms), func(a, b string) int { return cmp.Compare(ms[a], ms[b]) }) {
		fmt.Printf("BENCH %s_ms %.3f\n", name, ms[name])
	}
	batch := ms["floor_batch"]
	if batch == 0 {
		return
	}
	for _, r := range []struct {
		figure, of string
		target     float64
	}{{"erasure_ratio_to_batch", "erasure", targetErasure}, {"erasure_verified_ratio_to_batch", "erasure_verified", targetVerified}} {
		ratio := ms[r.of] / batch
		fmt.Printf("BENCH %s %.2f\n", r.figure, ratio)
		if ratio > r.target {
			fmt.Fprintf(os.Stderr, "%s is %.2f, above its target of %.0f\n", r.figure, ratio, r.target)
		}
	}
	fmt.Printf("BENCH erasure_ratio_to_keys_first %.2f\n", ms["erasure"]/ms["floor_keys_first"])
	fmt.Printf("BENCH erasure_ratio_to_statements %.2f\n", ms["erasure"]/ms["floor_statements"])
}
