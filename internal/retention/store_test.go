package retention

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/internal/backend"
)

// memory is a store of tables in memory that does what backend.Sweep says, in the plainest way. It is what the tests hold the
// compiled sweeps against.
type memory map[backend.Table][]row

// row is a record; a column that is not there is NULL.
type row map[string]string

func (r row) meets(conditions []backend.Condition) bool {
	return !slices.ContainsFunc(conditions, func(c backend.Condition) bool {
		v, set := r[c.Column]
		switch c.Operator {
		case backend.In:
			return !set || !slices.Contains(c.Values, v)
		case backend.NotIn:
			return set && slices.Contains(c.Values, v)
		case backend.Exists:
			return !set
		case backend.DoesNotExist:
			return set
		case backend.LessThan:
			return !set || v >= c.Values[0]
		case backend.GreaterThan:
			return !set || v <= c.Values[0]
		}
		panic("operator " + c.Operator)
	})
}

// follow lists the records at the end of a path.
func (m memory) follow(from row, path []backend.Hop) []row {
	at := []row{from}
	for _, hop := range path {
		var next []row
		for _, r := range at {
			for _, target := range m[hop.Table] {
				referring := r
				if hop.Down {
					referring = target
				}
				if joined(r, target, hop) && referring.meets(hop.Conditions) && target.meets(hop.TargetConditions) {
					next = append(next, target)
				}
			}
		}
		at = next
	}
	return at
}

func joined(r, target row, hop backend.Hop) bool {
	for i, c := range hop.Columns {
		a, ok := r[c]
		b, there := target[hop.TargetColumns[i]]
		if !ok || !there || a != b {
			return false
		}
	}
	return true
}

func (r row) time(column string) backend.Clock {
	t, err := time.Parse(time.RFC3339Nano, r[column])
	return backend.Clock{Time: t.UTC(), Valid: err == nil}
}

// clock is the latest at the end of the path; not valid where there is none, or one without a time.
func (m memory) clock(from row, c backend.SweepClock) backend.Clock {
	var latest backend.Clock
	for _, r := range m.follow(from, c.Path) {
		at := r.time(c.Column)
		if !at.Valid {
			return backend.Clock{}
		}
		if !latest.Valid || at.Time.After(latest.Time) {
			latest = at
		}
	}
	return latest
}

// kept tells whether a test keeps a record, and what the clocks of those say that do.
func (m memory) kept(r row, t backend.SweepTest) (bool, backend.Clock) {
	var latest backend.Clock
	kept, unreadable := false, false
	for _, end := range m.follow(r, t.Path) {
		if !end.meets(t.Conditions) {
			continue
		}
		if t.Clock == nil {
			return true, backend.Clock{}
		}
		at := m.clock(end, *t.Clock)
		kept = kept || !at.Valid || at.Time.After(t.Cutoff)
		unreadable = unreadable || !at.Valid
		if at.Valid && at.Time.After(latest.Time) {
			latest = at
		}
	}
	if unreadable {
		latest = backend.Clock{}
	}
	return kept, latest
}

func (m memory) explain(r row, s *backend.Sweep) backend.SweepExplanation {
	x := backend.SweepExplanation{Found: r.meets(s.Scope), Clock: m.clock(r, s.Clock)}
	for _, k := range s.KeyColumns {
		x.Key = append(x.Key, r[k])
	}
	for _, t := range s.Keep {
		kept, clock := m.kept(r, t)
		x.Keep, x.Clocks = append(x.Keep, kept), append(x.Clocks, clock)
	}
	return x
}

func (m memory) due(r row, s *backend.Sweep) bool {
	x := m.explain(r, s)
	if !x.Found || !x.Clock.Valid || x.Clock.Time.After(s.Cutoff) || x.Clock.Time.After(s.Now) || slices.Contains(x.Keep, true) {
		return false
	}
	changes := len(s.Steps) == 0
	for _, st := range s.Steps {
		for _, target := range m.follow(r, st.Path) {
			if !target.meets(st.Scope) {
				return false
			}
			after := memory{st.Table: {target}}.clone()[st.Table][0]
			after.set(st.Columns, s.Now)
			changes = changes || st.Action == backend.Delete || fmt.Sprint(after) != fmt.Sprint(target)
		}
	}
	return changes
}

// dueKeys are the keys of the records that are due.
func (m memory) dueKeys(s *backend.Sweep) []string {
	var keys []string
	for _, r := range m[s.Table] {
		if m.due(r, s) {
			keys = append(keys, m.explain(r, s).Key[0])
		}
	}
	return keys
}

// run treats what is due, and returns the keys.
func (m memory) run(s *backend.Sweep) []string { return m.runHeld(s, nil) }

// runHeld leaves records alone whose person is held, as SweepBatch.Held does; it is asked with an empty text for nobody.
func (m memory) runHeld(s *backend.Sweep, held func(person string) bool) []string {
	keys := m.dueKeys(s)
	if held != nil {
		keys = slices.DeleteFunc(keys, func(key string) bool {
			at := slices.IndexFunc(m[s.Table], func(r row) bool { return r[s.KeyColumns[0]] == key })
			person := ""
			if s.Subject != nil {
				for _, end := range m.follow(m[s.Table][at], s.Subject.Path) {
					person = end[s.Subject.Column]
				}
			}
			return held(person)
		})
	}
	for _, st := range s.Steps {
		var hit []row
		for _, r := range m[s.Table] {
			if slices.Contains(keys, r[s.KeyColumns[0]]) {
				hit = append(hit, m.follow(r, st.Path)...)
			}
		}
		for _, r := range hit {
			switch st.Action {
			case backend.Delete:
				m[st.Table] = slices.DeleteFunc(slices.Clone(m[st.Table]), func(o row) bool { return o["id"] == r["id"] })
			case backend.Update:
				r.set(st.Columns, s.Now)
			}
		}
	}
	return keys
}

func (r row) set(columns []backend.SweepColumn, now time.Time) {
	for _, c := range columns {
		old, set := r[c.Column]
		switch {
		case c.Now:
			r[c.Column] = now.Format(time.RFC3339Nano)
		case c.Truncate != "":
			if set {
				r[c.Column] = strings.Join(strings.Split(old, "-")[:1], "-") + "-01-01T00:00:00Z"
			}
		case c.Value == nil:
			delete(r, c.Column)
		default:
			r[c.Column] = *c.Value
		}
	}
}

// clone copies all records.
func (m memory) clone() memory {
	out := memory{}
	for t, rows := range m {
		for _, r := range rows {
			c := row{}
			for k, v := range r {
				c[k] = v
			}
			out[t] = append(out[t], c)
		}
	}
	return out
}
