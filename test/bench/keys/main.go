// Command keys measures how long it takes to remove the keys of one subject from a real Redis: 100,000 keys that match one
// pattern among 1,000,000. Lethe's backend (keys read, removed and verified) runs against what people write by hand: a loop
// of SCAN, and UNLINK in pipelines, in the same process and in turns, so that a busy machine slows both.
//
// It prints one line per figure: BENCH name value. Times are medians in milliseconds.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/pprof"
	"slices"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/redis"
	"github.com/lethe-dev/lethe/test/redistest"
)

// target of the ratio; what is above is said on standard error.
const target = 3.0

// batch is how many keys Lethe's executor puts into one batch.
const batch = 1000

func main() {
	all := flag.Int("keys", 1_000_000, "keys in the server")
	own := flag.Int("subject", 100_000, "keys of the subject among them")
	rounds := flag.Int("rounds", 5, "how often each contender removes the subject's keys")
	profile := flag.String("cpuprofile", "", "write a CPU profile to this file")
	flag.Parse()
	if err := run(context.Background(), *all, *own, *rounds, *profile); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// contender removes the keys of the subject.
type contender struct {
	name  string
	erase func(ctx context.Context) (removed int, err error)
}

func run(ctx context.Context, all, own, rounds int, profile string) (err error) {
	server, err := redistest.Start(ctx, redistest.Options{Settings: map[string]string{"appendonly": "no"}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	client := server.Client()
	defer func() { _ = client.Close() }()
	b, err := redis.Open(ctx, redis.Config{Addresses: []string{server.Addr()}, Password: server.Password})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if err := set(ctx, client, all-own, "session:%d:foreign:token"); err != nil {
		return err
	}
	if profile != "" {
		file, err := os.Create(profile)
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(file); err != nil {
			return errors.Join(err, file.Close())
		}
		defer func() { pprof.StopCPUProfile(); _ = file.Close() }()
	}
	times := map[string][]time.Duration{}
	contenders := []contender{{"floor", func(ctx context.Context) (int, error) { return byHand(ctx, client) }},
		{"lethe", func(ctx context.Context) (int, error) { return lethe(ctx, b) }}}
	for round := range rounds {
		for i := range contenders {
			c := contenders[(i+round)%len(contenders)]
			if err := set(ctx, client, own, "session:subject:%d:token"); err != nil {
				return err
			}
			begin := time.Now()
			removed, err := c.erase(ctx)
			took := time.Since(begin)
			left := client.DBSize(ctx).Val()
			if err != nil || removed != own || left != int64(all-own) {
				return errors.Join(err, fmt.Errorf("%s removed %d keys, %d are left, which is not what should be", c.name, removed, left))
			}
			times[c.name] = append(times[c.name], took)
		}
	}
	report(times)
	return nil
}

func set(ctx context.Context, client *goredis.Client, n int, format string) error {
	for i := 0; i < n; {
		p := client.Pipeline()
		for range min(10_000, n-i) {
			p.Set(ctx, fmt.Sprintf(format, i), "value", 0)
			i++
		}
		if _, err := p.Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

// byHand is the floor.
func byHand(ctx context.Context, client *goredis.Client) (removed int, err error) {
	var cursor uint64
	for {
		keys, next, err := client.Scan(ctx, cursor, "session:subject:*", 1000).Result()
		if err != nil {
			return 0, err
		}
		p := client.Pipeline()
		for _, k := range keys {
			p.Unlink(ctx, k)
		}
		cmds, err := p.Exec(ctx)
		if err != nil {
			return 0, err
		}
		for _, c := range cmds {
			removed += int(c.(*goredis.IntCmd).Val())
		}
		if cursor = next; cursor == 0 {
			return removed, nil
		}
	}
}

// lethe finds the keys, removes them in batches and makes sure that they are gone.
func lethe(ctx context.Context, b backend.Backend) (removed int, err error) {
	res, err := b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{{Entity: "sessions",
		Paths: []backend.Path{{Path: "session:subject:*", Kind: backend.KeyPattern}}}}})
	if err != nil {
		return 0, err
	}
	for rows := range slices.Chunk(res.Rows["sessions"], batch) {
		op := backend.Operation{Entity: "sessions", Action: backend.Unlink}
		for _, r := range rows {
			op.Keys = append(op.Keys, r.Key)
		}
		done, err := b.Execute(ctx, backend.Batch{Operations: []backend.Operation{op}})
		if err != nil {
			return 0, err
		}
		left, err := b.Verify(ctx, []backend.Operation{op})
		if err != nil || left[0] != 0 {
			return 0, errors.Join(err, fmt.Errorf("%d keys are left", left[0]))
		}
		removed += int(done.Affected[0])
	}
	return removed, nil
}

func report(times map[string][]time.Duration) {
	ms := map[string]float64{}
	for name, list := range times {
		slices.Sort(list)
		ms[name] = float64(list[len(list)/2].Microseconds()) / 1000
	}
	ratio := ms["lethe"] / ms["floor"]
	fmt.Printf("BENCH keys_floor_ms %.3f\nBENCH keys_lethe_ms %.3f\nBENCH keys_ratio %.2f\n", ms["floor"], ms["lethe"], ratio)
	if ratio > target {
		fmt.Fprintf(os.Stderr, "keys_ratio is %.2f, above its target of %.0f\n", ratio, target)
	}
}
