// Package turns lets contenders work in turns, in one process, so that a busy machine slows all of them.
package turns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"slices"
	"time"
)

// Contender does the work once and returns how long parts of it took, by the name of the figure.
type Contender struct {
	Name string
	Work func(ctx context.Context) (map[string]time.Duration, error)
}

// Times are those of all rounds, by the name of the figure.
type Times map[string][]time.Duration

// Run lets every contender work once in each round, beginning with another one each time.
func Run(ctx context.Context, contenders []Contender, rounds int) (Times, error) {
	times := Times{}
	for round := range rounds {
		for i := range contenders {
			c := contenders[(i+round)%len(contenders)]
			took, err := c.Work(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.Name, err)
			}
			for name, d := range took {
				times[name] = append(times[name], d)
			}
		}
	}
	return times, nil
}

// Medians are in milliseconds.
func (t Times) Medians() map[string]float64 {
	ms := make(map[string]float64, len(t))
	for name, list := range t {
		sorted := slices.Sorted(slices.Values(list))
		ms[name] = float64(sorted[len(sorted)/2].Microseconds()) / 1000
	}
	return ms
}

// Profile writes a CPU profile to a file until it is stopped; without a path it does nothing.
func Profile(path string) (stop func() error, err error) {
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
