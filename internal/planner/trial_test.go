package planner

import (
	"slices"
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

func TestValuesThatAColumnDoesNotTake(t *testing.T) {
	constant := "gone"
	note := child("note", deep("applicant", "applicant_id"))
	note.Action, note.Fields = v1alpha1.ActionAnonymize, []v1alpha1.FieldChange{{Column: "mood", Strategy: v1alpha1.StrategyConstant, Value: &constant},
		{Column: "mail", Strategy: v1alpha1.StrategyPseudonym}, {Column: "text", Strategy: v1alpha1.StrategyNull}}
	g := mustCompile(t, source(applicant(), note))
	trials := g.Trials("ats")
	var columns []string
	for _, tr := range trials {
		columns = append(columns, tr.Column)
	}
	if !slices.Contains(columns, "mood") || !slices.Contains(columns, "mail") || slices.Contains(columns, "text") {
		t.Errorf("trials of %v", columns)
	}
	ats := StoreFacts{Kind: TableStore, DefaultSchema: "public", Schema: schemaOf(g, "ats"), Refused: map[backend.Trial]string{}}
	for _, tr := range trials {
		if tr.Column == "mail" || tr.Column == "mood" {
			ats.Refused[tr] = "check constraint c refuses the value"
		}
	}
	var found []string
	for _, p := range g.Check(map[string]StoreFacts{"ats": ats}) {
		if strings.Contains(p.Message, "check constraint c") {
			found = append(found, p.Column)
		}
	}
	if !slices.Equal(found, []string{"mail", "mood"}) {
		t.Errorf("problems of %v, want mail and mood", found)
	}
}

func TestEnumMembers(t *testing.T) {
	if got := enumMembers("enum('a','it''s','')"); !slices.Equal(got, []string{"a", "it's", ""}) {
		t.Errorf("got %q", got)
	}
	if got := enumMembers("text"); got != nil {
		t.Errorf("got %q", got)
	}
}
