// Command sweep measures how fast due records leave a table of a million candidates, with their dependants, on a real PostgreSQL
// with its normal durability: Lethe page by page against what people write by hand, a child-first delete in one transaction. And,
// on a real MariaDB, one table against one DELETE and, where it is installed, against pt-archiver. All work in turns, so that a busy
// machine slows all of them; each turn treats as many records, which it made due just before.
//
// It prints one line per figure: BENCH name value. Ratios are to the floor's speed: above 1 is faster.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/test/bench/internal/turns"
)

// options of a run. What is due in one turn times the turns must be there in the table.
type options struct {
	rows, due, rounds, mariaRows int
	only                         string
	besideRounds                 int
}

func main() {
	var o options
	flag.IntVar(&o.rows, "rows", 1_000_000, "candidates in a table of PostgreSQL")
	flag.IntVar(&o.due, "due", 66_000, "candidates that are due in one turn")
	flag.IntVar(&o.rounds, "rounds", 3, "turns of each contender")
	flag.IntVar(&o.mariaRows, "mariadb-rows", 200_000, "records in the table of MariaDB")
	flag.IntVar(&o.besideRounds, "beside-rounds", 5, "turns with an application beside it")
	flag.StringVar(&o.only, "only", "", "delete, whole, cascade, anonymize, beside or mariadb; several with commas; empty for all")
	flag.Parse()
	if err := run(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func (o options) wants(part string) bool {
	return o.only == "" || slices.Contains(strings.Split(o.only, ","), part)
}

func run(ctx context.Context, o options) error {
	if o.wants("delete") || o.wants("whole") || o.wants("cascade") || o.wants("anonymize") || o.wants("beside") {
		if err := onPostgreSQL(ctx, o); err != nil {
			return err
		}
	}
	if o.wants("mariadb") {
		return onMariaDB(ctx, o)
	}
	return nil
}

// ratios prints how fast each figure is in comparison to a floor: round by round, and the middle one.
func ratios(times turns.Times, floor string, targets map[string]float64) {
	for name, list := range times {
		of := floor
		if strings.HasSuffix(name, cpuSuffix) {
			of += cpuSuffix
		}
		if name == of {
			continue
		}
		var each []float64
		for i := range min(len(list), len(times[of])) {
			each = append(each, float64(times[of][i])/float64(list[i]))
		}
		slices.Sort(each)
		middle := each[len(each)/2]
		fmt.Printf("BENCH sweep_%s_ratio %.2f\n", name, middle)
		fmt.Fprintf(os.Stderr, "%s: %.2f to %.2f\n", name, each[0], each[len(each)-1])
		if target, ok := targets[name]; ok && middle < target {
			fmt.Fprintf(os.Stderr, "sweep_%s_ratio is %.2f, below its target of %.1f\n", name, middle, target)
		}
	}
}

// speed prints how many rows a second a figure is.
func speed(times turns.Times, name string, rows int) {
	if list := slices.Clone(times[name]); len(list) > 0 {
		slices.Sort(list)
		fmt.Printf("BENCH sweep_%s_rows_per_s %.0f\n", name, float64(rows)/list[len(list)/2].Seconds())
	}
}

// timed measures work after what readies it.
func timed(ready, work func() error) (time.Duration, error) {
	if err := ready(); err != nil {
		return 0, err
	}
	begin := time.Now()
	err := work()
	return time.Since(begin), err
}

var errLeft = errors.New("not everything that was due is gone")
