package subject

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/lethe-dev/lethe/test/bench/internal/turns"
)

const minPeople = 5000

// Options of a comparison.
type Options struct {
	// Subjects that each contender erases, and WarmUp more before it counts.
	Subjects, WarmUp int
	// Profile is the file for a CPU profile of Lethe's erasures; the others do not run then. Empty for none.
	Profile string
}

// Flags reads the options from the command line.
func Flags() Options {
	var o Options
	flag.IntVar(&o.Subjects, "subjects", 300, "subjects that each contender erases")
	flag.IntVar(&o.WarmUp, "warm-up", 40, "subjects that each contender erases before it counts")
	flag.StringVar(&o.Profile, "cpuprofile", "", "write a CPU profile of Lethe's erasures to this file; the others do not run")
	flag.Parse()
	return o
}

// Way is a way to erase one person, by the id. It returns how long it took, by the name of the figure.
type Way struct {
	Name  string
	Erase func(ctx context.Context, subject int) (map[string]time.Duration, error)
}

// Floor is what people write by hand for a database, in one or more ways.
type Floor struct {
	Ways []Way
	// Seed makes the tables with the data of people, whose ids begin with 1.
	Seed func(ctx context.Context, people int) error
	// Remain counts the rows of all tables.
	Remain func(ctx context.Context) (rows int64, err error)
}

// Compare seeds the database, lets Lethe and the floor erase in turns, and checks that what remains is what should.
func Compare(ctx context.Context, o Options, lethe *Lethe, floor Floor) (turns.Times, error) {
	ways := []Way{{"lethe", lethe.Erase}}
	if o.Profile == "" {
		ways = append(ways, floor.Ways...)
	}
	var left []int
	contenders := make([]turns.Contender, len(ways))
	for i, way := range ways {
		contenders[i] = turns.Contender{Name: way.Name, Work: func(ctx context.Context) (map[string]time.Duration, error) {
			subject := left[0] + 1
			left = left[1:]
			return way.Erase(ctx, subject)
		}}
	}
	needed := (o.Subjects + o.WarmUp) * len(contenders)
	people := max(minPeople, 2*needed)
	if err := floor.Seed(ctx, people); err != nil {
		return nil, err
	}
	// In random order, as requests come: those who are gone lie scattered among those who are left.
	left = rand.New(rand.NewPCG(1, 2)).Perm(people)[:needed]
	if _, err := turns.Run(ctx, contenders, o.WarmUp); err != nil {
		return nil, err
	}
	stop, err := turns.Profile(o.Profile)
	if err != nil {
		return nil, err
	}
	times, err := turns.Run(ctx, contenders, o.Subjects)
	if err := errors.Join(err, stop()); err != nil {
		return nil, err
	}
	if rows, err := floor.Remain(ctx); err != nil || rows != int64(people-needed)*Rows {
		return nil, errors.Join(err, fmt.Errorf("%d rows are left, which is not what should be", rows))
	}
	return times, nil
}

// Took is one figure.
func Took(figure string, begin time.Time) map[string]time.Duration {
	return map[string]time.Duration{figure: time.Since(begin)}
}
