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
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/pprof"
	"slices"
	"time"

	"github.com/lethe-dev/lethe/test/pgtest"
)

// Targets of the ratios to the single batch; what is above is said on standard error.
const (
	targetErasure  = 3.0
	targetVerified = 4.0
)

const (
	minPeople = 5000
	rowsOfOne = 50
)

func main() {
	rounds := flag.Int("subjects", 300, "subjects that each contender erases")
	warmUp := flag.Int("warm-up", 40, "subjects that each contender erases before it counts")
	profile := flag.String("cpuprofile", "", "write a CPU profile of Lethe's erasures to this file; the others do not run")
	flag.Parse()
	if err := run(context.Background(), *rounds, *warmUp, *profile); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// contender erases one subject and returns how long parts of it took, by the name of the figure.
type contender struct {
	name  string
	erase func(ctx context.Context, subject int) (map[string]time.Duration, error)
}

func run(ctx context.Context, rounds, warmUp int, profile string) (err error) {
	server, err := pgtest.Start(ctx, pgtest.Options{Fsync: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	database, err := server.CreateDatabase(ctx)
	if err != nil {
		return err
	}
	floor, err := newByHand(ctx, server, database)
	if err != nil {
		return err
	}
	defer floor.close(ctx)
	lethe, err := newLethe(ctx, server, database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lethe.close()) }()

	contenders := []contender{{"lethe", lethe.erase}}
	if profile == "" {
		contenders = append(contenders, contender{"batch", floor.batch}, contender{"keys_first", floor.keysFirst},
			contender{"statements", floor.statements})
	}
	needed := (rounds + warmUp) * len(contenders)
	people := max(minPeople, 2*needed)
	if err := seed(ctx, floor.conn, people); err != nil {
		return err
	}
	// In random order, as requests come: those who are gone lie scattered among those who are left.
	subjects := rand.New(rand.NewPCG(1, 2)).Perm(people)[:needed]
	if _, err := inTurns(ctx, contenders, warmUp, &subjects); err != nil {
		return err
	}
	stop, err := profileTo(profile)
	if err != nil {
		return err
	}
	times, err := inTurns(ctx, contenders, rounds, &subjects)
	if err := errors.Join(err, stop()); err != nil {
		return err
	}
	if left, err := rowsLeft(ctx, floor.conn); err != nil || left != int64(people-needed)*rowsOfOne {
		return errors.Join(err, fmt.Errorf("%d rows are left, which is not what should be", left))
	}
	report(times)
	return nil
}

// inTurns lets every contender erase one subject in each round, beginning with another one each time.
func inTurns(ctx context.Context, contenders []contender, rounds int, subjects *[]int) (map[string][]time.Duration, error) {
	times := map[string][]time.Duration{}
	for round := range rounds {
		for i := range contenders {
			c := contenders[(i+round)%len(contenders)]
			subject := (*subjects)[0] + 1
			*subjects = (*subjects)[1:]
			took, err := c.erase(ctx, subject)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			for name, d := range took {
				times[name] = append(times[name], d)
			}
		}
	}
	return times, nil
}

func profileTo(path string) (stop func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() error { pprof.StopCPUProfile(); return file.Close() }, nil
}

func report(times map[string][]time.Duration) {
	ms := map[string]float64{}
	names := make([]string, 0, len(times))
	for name, list := range times {
		slices.Sort(list)
		ms[name] = float64(list[len(list)/2].Microseconds()) / 1000
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(ms[a], ms[b]) })
	for _, name := range names {
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
