package property

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/lethe-dev/lethe/internal/executor"
	"github.com/lethe-dev/lethe/internal/state"
)

// later runs what the holds have kept, when some or all of the dates have come: the stores are then as if the subject had
// been erased on that day.
func (e *erasure) later(ctx context.Context, p *place, first *expectation, before, after snapshot) snapshot {
	if !first.retains() {
		return after
	}
	e.at = pick(e.t, []time.Time{now.AddDate(10, 0, 0), now.AddDate(0, 6, 0)}, "later")
	want := e.w.expect(before, e.at)
	if want.blocked {
		return after
	}
	for r, f := range want.fates {
		if f == pinned && first.fates[r] == retained {
			want.fates[r] = retained // its fields are not minimized when its own date has come
		}
	}
	e.seen["later"]++
	v := shared.vaults[0]
	for e.due(ctx, p, v) {
	}
	left, err := v.state.Residues(ctx, e.name, e.request())
	if err != nil {
		e.t.Fatalf("list the residues: %v", err)
	}
	for _, r := range left {
		if r.State != state.ResidueDone && r.Until != nil && !r.Until.After(e.at) {
			e.t.Fatalf("engines %v, map %s: a residue is not done at its date; residues:\n%s", e.w.engines, e.describe(), strings.Join(describeResidues(left), "\n"))
		}
	}
	after = e.snapshot(ctx, p)
	if wrong := e.w.check(want, before, after); len(wrong) > 0 {
		e.t.Fatalf("%s later; engines %v, map %s:\n%s", e.at.Sub(now), e.w.engines, e.describe(), strings.Join(wrong, "\n"))
	}
	return after
}

func (e *expectation) retains() bool {
	for _, f := range e.fates {
		if f == retained || f == pinned {
			return true
		}
	}
	return false
}

// due runs the residues that are due and reports whether there were any.
func (e *erasure) due(ctx context.Context, p *place, v vault) (any bool) {
	list, err := v.state.Residues(ctx, e.name, e.request())
	if err != nil {
		e.t.Fatalf("list the residues: %v", err)
	}
	x, _, _ := e.executor(p, v)
	for i := range list {
		r := &list[i]
		due, err := executor.ResidueDue(ctx, v.state, r, e.at)
		if err != nil {
			e.t.Fatalf("ask whether a residue is due: %v", err)
		}
		if r.State == state.ResidueDone || !due {
			continue
		}
		any = true
		if _, err := x.Advance(ctx, executor.Task{RunUID: "residue-" + r.ID, Namespace: e.name, Name: "residue-" + r.ID, ResidueID: r.ID}); err != nil {
			e.t.Fatalf("engines %v, map %s: a residue says: %v", e.w.engines, e.describe(), err)
		}
	}
	return any
}

// others erases a second and a third person from what is left.
func (e *erasure) others(ctx context.Context, p *place, before snapshot) {
	for range rapid.IntRange(0, 2).Draw(e.t, "other subjects") {
		e.w.reload(before)
		people := slices.DeleteFunc(slices.Clone(e.w.tables[0].rows), func(r *row) bool { return !e.w.covered(e.w.tables[0], r) })
		if len(people) == 0 {
			return
		}
		e.round++
		e.w.drawIdentity(e.t, *pick(e.t, people, "person").v["id"])
		want := e.w.expect(before, e.at)
		if want.blocked {
			return
		}
		e.erase(ctx, p, shared.vaults[0], want.found)
		if !want.found { // nobody is found by blanks
			return
		}
		e.seen["another subject"]++
		after := e.snapshot(ctx, p)
		if wrong := e.w.check(want, before, after); len(wrong) > 0 {
			e.t.Fatalf("subject %d; engines %v, map %s:\n%s", e.round+1, e.w.engines, e.describe(), strings.Join(wrong, "\n"))
		}
		e.w.tally(want, before, e.seen)
		before = after
	}
}

// reload takes the rows as they are by now.
func (w *world) reload(s snapshot) {
	for _, tb := range w.tables {
		tb.rows = slices.DeleteFunc(slices.Clone(tb.rows), func(r *row) bool { return s.rows[r.rid] == nil })
		for i, r := range tb.rows {
			now := &row{rid: r.rid, v: map[string]*string{}}
			for _, c := range tb.columns {
				if v := s.rows[r.rid][c.name]; v != null {
					now.v[c.name] = ptr(v[2:])
				}
			}
			tb.rows[i] = now
		}
	}
	w.files = s.files
}

func describeResidues(list []state.Residue) []string {
	var out []string
	for _, r := range list {
		out = append(out, fmt.Sprintf("%s %s until %v after %v: %s", r.ID[:6], r.State, r.Until, r.After, r.Retained))
	}
	return out
}
