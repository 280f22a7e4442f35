package planner

import (
	"fmt"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

func TestChainAboveAHoldIsDecidedOnOnce(t *testing.T) {
	note := child("note", deep("applicant", "applicant_id"), deep("note", "reply_to"))
	note.Holds = []v1alpha1.StatutoryHold{lawOn("x")}
	g := mustCompile(t, source(applicant(), note, child("link", deep("applicant", "applicant_id")), with(note, func(e *v1alpha1.Entity) {
		e.Name, e.Table = "folder", "folders"
		e.Parents = []v1alpha1.Parent{refCount("link", "id", "folder"), deep("folder", "reply_to")}
	})))
	const n = 100_000 // one pass for each level would take hours
	for name, turn := range map[string]func(i int) int{"keys that rise": func(i int) int { return i }, "keys that fall": func(i int) int { return n - i }} {
		t.Run(name, func(t *testing.T) {
			key := func(i int) backend.Key { return backend.Key{fmt.Sprintf("v:%06d", turn(i))} }
			ef := &EntityFacts{}
			at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			for i := range n {
				row := RowFacts{Key: key(i), Clocks: []backend.Clock{{Time: at, Valid: true}}, Held: []bool{i == n-1}}
				if i > 0 {
					row.Parents = []ParentRef{{Edge: 1, Key: keyID(key(i - 1))}}
				}
				ef.Rows = append(ef.Rows, row)
			}
			ef.sort()
			p := g.partition(&Facts{Entities: map[string]*EntityFacts{"ats/note": ef, "ats/folder": ef}}, nil, at)
			for _, e := range []string{"ats/note", "ats/folder"} {
				for i, s := range p.states[g.byName[e]] {
					if s.fate != fatePin && s.fate != fateRetain {
						t.Fatalf("record %d of %s has the fate %d", i, e, s.fate)
					}
				}
			}
		})
	}
}
