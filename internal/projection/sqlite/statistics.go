package projectionsqlite

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/lethe-dev/lethe/internal/projection"
)

// Statistics implements projection.Reader. Whole days are counted already; of a day that the period cuts its own requests are.
func (x *Index) Statistics(ctx context.Context, origin string, p projection.Period, now time.Time) (projection.Statistics, error) {
	var s projection.Statistics
	err := x.answer(ctx, origin, func(ctx context.Context, db *sql.DB, number int64) error {
		c := counter{db: db, origin: number, days: map[int64]*day{}}
		if err := c.count(ctx, p); err != nil {
			return err
		}
		s = c.statistics()
		var err error
		s.Overdue, err = c.overdue(ctx, p, now)
		return err
	})
	return s, err
}

// counter adds up days.
type counter struct {
	db     *sql.DB
	origin int64
	days   map[int64]*day
}

// count takes the whole days of a period, and what it has of those at its ends.
func (c *counter) count(ctx context.Context, p projection.Period) error {
	from, to := int64(math.MinInt64), int64(math.MaxInt64) // the whole days are from, but without, to
	if !p.From.IsZero() {
		if from = dayOf(p.From); startOf(from).Before(p.From) {
			from++
		}
	}
	if !p.To.IsZero() {
		to = dayOf(p.To)
	}
	if !p.From.IsZero() && !p.To.IsZero() {
		if !p.From.Before(p.To) {
			return nil
		}
		if from > to { // within one day
			return c.part(ctx, to, p)
		}
	}
	if err := c.whole(ctx, from, to); err != nil {
		return err
	}
	if !p.From.IsZero() && startOf(from).After(p.From) {
		if err := c.part(ctx, from-1, projection.Period{From: p.From, To: startOf(from)}); err != nil {
			return err
		}
	}
	if !p.To.IsZero() && startOf(to).Before(p.To) {
		return c.part(ctx, to, projection.Period{From: startOf(to), To: p.To})
	}
	return nil
}

func (c *counter) whole(ctx context.Context, from, to int64) (err error) {
	rows, err := c.db.QueryContext(ctx, `SELECT day, `+dayColumns+`
		FROM days WHERE origin = ? AND day >= ? AND day < ?`, c.origin, from, to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var at int64
		d := &day{}
		into := []any{&at}
		for _, n := range d.counters() {
			into = append(into, n)
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		c.days[at] = d
	}
	return rows.Err()
}

// part counts a part of a day from its rows.
func (c *counter) part(ctx context.Context, at int64, p projection.Period) error {
	var first, last int64
	err := c.db.QueryRowContext(ctx, `SELECT first, last FROM days WHERE origin = ? AND day = ?`, c.origin, at).Scan(&first, &last)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	d := &day{}
	for _, run := range []bool{false, true} {
		if err := c.partOf(ctx, d, run, first, last, p); err != nil {
			return err
		}
	}
	c.days[at] = d
	return nil
}

// partOf counts the requests, or the runs of rules, of a part of a day.
func (c *counter) partOf(ctx context.Context, d *day, run bool, first, last int64, p projection.Period) error {
	to, which := &d.requests, "run IS NULL"
	if run {
		to, which = &d.runs, "run IS NOT NULL"
	}
	for status := numPending; status <= numFailed; status++ {
		var took sql.NullInt64
		if err := c.db.QueryRowContext(ctx, `SELECT COUNT(*), SUM((finished - received) / 1000000) FROM requests
			WHERE +status = ? AND `+which+` AND id BETWEEN ? AND ? AND received >= ? AND received < ?`,
			status, first, last, nanos(p.From), nanos(p.To)).Scan(&to.now[status], &took); err != nil {
			return err
		}
		to.happened[numPending] += to.now[status]
		if status == numCompleted && !run {
			d.took = took.Int64
		}
		if status == numPending {
			continue
		}
		if err := c.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM entries WHERE turned = ? AND id BETWEEN ? AND ? AND time >= ? AND time < ?`,
			turnedTo(run, int64(status)), first, last, nanos(p.From), nanos(p.To)).Scan(&to.happened[status]); err != nil {
			return err
		}
	}
	return nil
}

func (c *counter) statistics() projection.Statistics {
	var s projection.Statistics
	var took int64
	for _, at := range slices.Sorted(maps.Keys(c.days)) {
		d := c.days[at]
		r, u := &d.requests, &d.runs
		s.Pending += r.now[numPending]
		s.Completed += r.now[numCompleted]
		s.Cancelled += r.now[numCancelled]
		s.Failed += r.now[numFailed]
		s.Runs.Pending += u.now[numPending]
		s.Runs.Completed += u.now[numCompleted]
		s.Runs.Cancelled += u.now[numCancelled]
		s.Runs.Failed += u.now[numFailed]
		took += d.took
		if none := [numFailed + 1]int64{}; r.happened != none || u.happened != none {
			s.Days = append(s.Days, projection.Day{Date: startOf(at), Received: r.happened[numPending], Completed: r.happened[numCompleted],
				Cancelled: r.happened[numCancelled], Failed: r.happened[numFailed],
				Runs: projection.RunsOfDay{Announced: u.happened[numPending], Completed: u.happened[numCompleted], Cancelled: u.happened[numCancelled], Failed: u.happened[numFailed]}})
		}
	}
	s.Total = s.Pending + s.Completed + s.Cancelled + s.Failed
	s.Runs.Total = s.Runs.Pending + s.Runs.Completed + s.Runs.Cancelled + s.Runs.Failed
	if s.Completed > 0 {
		s.MeanTimeToCompletion = time.Duration(took/s.Completed) * time.Millisecond
	}
	return s
}

// overdue counts what is in the index of due dates before now.
func (c *counter) overdue(ctx context.Context, p projection.Period, now time.Time) (n int64, err error) {
	from, to := int64(math.MinInt64), int64(math.MaxInt64)
	if !p.From.IsZero() {
		from = nanos(p.From)
	}
	if !p.To.IsZero() {
		to = nanos(p.To)
	}
	err = c.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM requests WHERE origin = ? AND status = 1 AND due IS NOT NULL AND due < ? AND received >= ? AND received < ?`,
		c.origin, nanos(now), from, to).Scan(&n)
	return n, err
}
