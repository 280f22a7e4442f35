package planner

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

var testNow = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// world is a random map with random data.
type world struct {
	source MapSource
	stores map[string]*fakeStore
	ids    map[string][]string // by entity
}

func drawWorld(t *rapid.T) *world {
	w := &world{source: MapSource{Name: "m", UID: "u", Generation: 1}, ids: map[string][]string{},
		stores: map[string]*fakeStore{"a": newFake(), "b": newFake(), "files": newFake()}}
	n := rapid.IntRange(1, 6).Draw(t, "entities")
	for i := range n {
		e := drawEntity(t, i)
		w.source.Spec.Entities = append(w.source.Spec.Entities, e)
		rows := rapid.IntRange(0, 7).Draw(t, "rows")
		for r := range rows {
			w.ids[e.Name] = append(w.ids[e.Name], fmt.Sprintf("%s-%d", e.Name, r))
		}
	}
	w.linkShallow(t)
	w.data(t)
	w.constraints()
	return w
}

func drawEntity(t *rapid.T, i int) v1alpha1.Entity {
	actions := []v1alpha1.EntityAction{v1alpha1.ActionDelete, v1alpha1.ActionDelete, v1alpha1.ActionDelete, v1alpha1.ActionAnonymize, v1alpha1.ActionMark, v1alpha1.ActionKeep}
	e := v1alpha1.Entity{Name: fmt.Sprintf("e%d", i), Store: rapid.SampledFrom([]string{"a", "a", "b"}).Draw(t, "store"),
		Table: fmt.Sprintf("t%d", i), Key: []string{"id"}, Category: fmt.Sprintf("c%d", i%3),
		Action: rapid.SampledFrom(actions).Draw(t, "action"), LegalBasis: "basis"}
	if i == 0 || rapid.IntRange(0, 5).Draw(t, "identified") == 0 {
		e.IdentifiedBy = []v1alpha1.IdentityMatch{{Column: "person", Identity: "id"}}
	}
	if i == 0 {
		e.Root = &v1alpha1.Root{Rows: v1alpha1.RowsMany}
	}
	for j := range i {
		if rapid.IntRange(0, 2).Draw(t, "deep") > 0 || j == i-1 && len(e.Parents) == 0 {
			e.Parents = append(e.Parents, v1alpha1.Parent{Entity: fmt.Sprintf("e%d", j), Relation: v1alpha1.RelationDeep,
				Columns: []v1alpha1.ColumnPair{{Column: fmt.Sprintf("d%d", j), ParentColumn: "id"}}})
		}
	}
	if rapid.Bool().Draw(t, "hold") && e.Action != v1alpha1.ActionKeep {
		e.Holds = []v1alpha1.StatutoryHold{{Name: "tax", LegalBasis: "tax law", Clock: "clock", Period: "P1Y",
			Conditions: []v1alpha1.Condition{{Column: "held", Operator: v1alpha1.OperatorIn, Values: []string{"1"}}}}}
	}
	if e.Action == v1alpha1.ActionAnonymize || e.Action == v1alpha1.ActionMark {
		e.Fields = []v1alpha1.FieldChange{{Column: "pii", Strategy: v1alpha1.StrategyPseudonym}}
		for _, p := range e.Parents {
			e.Fields = append(e.Fields, v1alpha1.FieldChange{Column: p.Columns[0].Column, Strategy: v1alpha1.StrategyNull})
		}
		if rapid.IntRange(0, 3).Draw(t, "final") == 0 {
			e.Order = v1alpha1.OrderFinal
		}
	}
	if e.Action == v1alpha1.ActionDelete && rapid.Bool().Draw(t, "pinned") {
		e.Pinned = &v1alpha1.Pinned{Fields: []v1alpha1.FieldChange{{Column: "pii", Strategy: v1alpha1.StrategyRandom}}}
	}
	if e.Action != v1alpha1.ActionMark && rapid.Bool().Draw(t, "files") {
		e.Files = []v1alpha1.FileReference{{Store: "files", Path: "docs/{file}", Kind: v1alpha1.FileKindFile}}
	}
	return e
}

func (w *world) linkShallow(t *rapid.T) {
	n := len(w.source.Spec.Entities)
	for i := range w.source.Spec.Entities {
		if rapid.Bool().Draw(t, "shallow") {
			j := rapid.IntRange(0, n-1).Draw(t, "to")
			e := &w.source.Spec.Entities[i]
			e.Parents = append(e.Parents, v1alpha1.Parent{Entity: fmt.Sprintf("e%d", j), Relation: v1alpha1.RelationShallow,
				Columns: []v1alpha1.ColumnPair{{Column: fmt.Sprintf("s%d", j), ParentColumn: "id"}}})
		}
	}
}

func (w *world) data(t *rapid.T) {
	clocks := []*string{nil, text("unreadable"), text("2020-01-01T00:00:00Z"), text("2026-01-31T00:00:00Z"), text("2026-02-01T00:00:00Z")}
	taken := map[string]bool{}
	for _, e := range w.source.Spec.Entities {
		for _, id := range w.ids[e.Name] {
			row := map[string]*string{"id": text(id), "person": text(rapid.SampledFrom([]string{"me", "you"}).Draw(t, "person")),
				"held": text(rapid.SampledFrom([]string{"0", "1"}).Draw(t, "held")), "clock": rapid.SampledFrom(clocks).Draw(t, "clock"),
				"pii": text("pii-" + id), "file": nil}
			if f := rapid.IntRange(0, 12).Draw(t, "file"); f > 4 || f > 0 && taken[e.Name+fmt.Sprint(f)] {
				row["file"] = text("of " + id)
			} else if f > 0 { // records of several entities name it
				row["file"], taken[e.Name+fmt.Sprint(f)] = text(fmt.Sprintf("f%d", f)), true
			}
			if row["file"] != nil {
				w.stores["files"].files["docs/"+*row["file"]] = true
			}
			for _, p := range e.Parents {
				var to *string
				if ids := w.ids[p.Entity]; len(ids) > 0 && rapid.IntRange(0, 3).Draw(t, "linked") > 0 {
					to = text(rapid.SampledFrom(ids).Draw(t, "parent"))
				}
				row[p.Columns[0].Column] = to
			}
			w.stores[e.Store].insert(e.Table, row)
		}
	}
}

// constraints enforces every link that Check would let be enforced.
func (w *world) constraints() {
	at := map[string]v1alpha1.Entity{}
	for _, e := range w.source.Spec.Entities {
		at[e.Name] = e
	}
	for _, e := range w.source.Spec.Entities {
		for _, p := range e.Parents {
			parent := at[p.Entity]
			keepsLink := e.Action == v1alpha1.ActionKeep && p.Relation == v1alpha1.RelationDeep && parent.Action == v1alpha1.ActionDelete
			if parent.Store == e.Store && !keepsLink {
				w.stores[e.Store].fks = append(w.stores[e.Store].fks, fakeFK{e.Table, p.Columns[0].Column, parent.Table, "id"})
			}
		}
	}
}

// reachable finds the subject's rows without the planner.
func (w *world) reachable() map[string]bool {
	mine := map[string]bool{}
	for changed := true; changed; {
		changed = false
		for _, e := range w.source.Spec.Entities {
			t := w.stores[e.Store].tables[e.Table]
			if t == nil {
				continue
			}
			for _, row := range t.rows {
				hit := len(e.IdentifiedBy) > 0 && *row["person"] == "me"
				for _, p := range e.Parents {
					v := row[p.Columns[0].Column]
					hit = hit || p.Relation == v1alpha1.RelationDeep && v != nil && mine[*v]
				}
				if hit && !mine[*row["id"]] {
					mine[*row["id"]] = true
					changed = true
				}
			}
		}
	}
	return mine
}

func (w *world) entity(id string) v1alpha1.Entity {
	for _, e := range w.source.Spec.Entities {
		if strings.HasPrefix(id, e.Name+"-") {
			return e
		}
	}
	panic(id)
}

var me = Subject{Identities: map[string][]string{"id": {"me"}}}

func buildInput(holds []Hold) BuildInput {
	return BuildInput{RunID: "run", Now: testNow, RunSeed: []byte("0123456789abcdef"), NamespaceKey: []byte("namespace"), Holds: holds, Codec: testCodec}
}

func drawHolds(t *rapid.T) []Hold {
	if rapid.IntRange(0, 2).Draw(t, "legal") > 0 {
		return nil
	}
	return []Hold{{UID: "h1", Name: "case", Records: []HoldRecord{{Map: "m", Entity: "e1",
		Conditions: []v1alpha1.Condition{{Column: "held", Operator: v1alpha1.OperatorIn, Values: []string{"0"}}}}}},
		{UID: "h2", Name: "case-2", Records: []HoldRecord{{Map: "m", Entity: "e2"}}}}[:rapid.IntRange(1, 2).Draw(t, "holds")]
}

func mustCompile(t interface{ Fatalf(string, ...any) }, src ...MapSource) *Graph {
	g, problems := Compile(src, "")
	if len(problems) > 0 {
		t.Fatalf("problems: %+v", problems)
	}
	return g
}

func stepDigests(p *Plan) string {
	var out []string
	for _, s := range p.Steps {
		out = append(out, s.Name+" "+s.Digest())
	}
	for _, r := range p.Residues {
		out = append(out, "residue "+r.ID)
		for _, s := range r.Steps {
			out = append(out, s.Name+" "+s.Digest())
		}
	}
	return strings.Join(out, "\n")
}

// Every reachable record has exactly one fate, others stay, no constraint breaks, holds are kept to their date, and a
// second look finds nothing new.
func TestErasureOfRandomWorlds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		g := mustCompile(t, w.source)
		holds := drawHolds(t)
		mine := w.reachable()
		before := dump(w.stores)
		facts := resolveAll(g, w.stores, me, holds, nil, ResolveOptions{})
		plan, err := g.Build(facts, buildInput(holds))
		if w.namedByOthers(mine) {
			var p *ProblemError
			if !errors.As(err, &p) || p.Reason != v1alpha1.ReasonNameAmbiguous {
				t.Fatalf("a record of somebody else names what the subject's names, and the plan says %v", err)
			}
			return
		}
		if err != nil {
			t.Fatalf("build: %v", err)
		}
		checkFates(t, w, plan, mine)
		checkDeterminism(t, g, w, facts, plan, holds)
		for _, s := range plan.Steps {
			if err := w.stores[s.Store].execute(g.WithLiveHolds(s, holds)); err != nil {
				t.Fatalf("%v", err)
			}
		}
		after := dump(w.stores)
		checkAfter(t, w, holds, mine, before, after)
		checkFiles(t, w, holds, mine, before, after)
		fresh := resolveAll(g, w.stores, me, holds, facts, ResolveOptions{})
		merged := MergeFacts(facts, fresh)
		again, err := g.Build(merged, buildInput(holds))
		if err != nil {
			t.Fatalf("build again: %v", err)
		}
		if a, b := stepDigests(plan), stepDigests(again); a != b {
			t.Fatalf("a second look changed the plan:\n%s\n%s", a, b)
		}
		if a, b := jsonText(merged), jsonText(MergeFacts(merged, fresh)); a != b {
			t.Fatalf("merging is not idempotent:\n%s\n%s", a, b)
		}
		checkResidues(t, w, g, plan, mine)
	})
}

func checkFates(t *rapid.T, w *world, plan *Plan, mine map[string]bool) {
	total, seen := int64(0), map[string]bool{}
	for _, c := range plan.Counts {
		total += c.Deleted + c.Anonymized + c.Marked + c.Retained + c.Kept
	}
	if total != int64(len(mine)) {
		t.Fatalf("counts speak of %d records, %d are reachable: %+v", total, len(mine), plan.Counts)
	}
	all := slices.Clone(plan.Steps)
	for _, r := range plan.Residues {
		all = append(all, r.Steps...)
	}
	for _, s := range all {
		for i, op := range s.Operations {
			for _, k := range op.Keys {
				if s.Purposes[i] == PurposeUnlink || s.Purposes[i] == PurposePin || s.Purposes[i] == PurposeFile {
					continue
				}
				id := toText("", &k[0])
				if seen[id] || !mine[id] {
					t.Fatalf("record %s is treated twice or is not the subject's", id)
				}
				seen[id] = true
			}
		}
	}
	for id := range mine {
		if keep := w.entity(id).Action == v1alpha1.ActionKeep; keep == seen[id] {
			t.Fatalf("record %s: keep %v, treated %v", id, keep, seen[id])
		}
	}
	retained := int64(0)
	for _, r := range plan.Retained {
		retained += r.Count
	}
	for _, c := range plan.Counts {
		retained -= c.Retained
	}
	if retained != 0 {
		t.Fatalf("retained list and counts differ by %d", retained)
	}
}

func checkDeterminism(t *rapid.T, g *Graph, w *world, facts *Facts, plan *Plan, holds []Hold) {
	data, err := json.Marshal(facts)
	if err != nil {
		t.Fatalf("%v", err)
	}
	var again Facts
	if err := json.Unmarshal(data, &again); err != nil {
		t.Fatalf("%v", err)
	}
	for _, f := range w.stores {
		for _, tab := range f.tables {
			slices.Reverse(tab.rows)
		}
	}
	for _, f := range []*Facts{&again, resolveAll(mustCompile(t, w.source), w.stores, me, holds, nil, ResolveOptions{})} {
		other, err := g.Build(f, buildInput(holds))
		if err != nil || other.Digest() != plan.Digest() {
			t.Fatalf("the same facts gave another plan (%v)", err)
		}
	}
}

// legallyHeld decides without the planner.
func legallyHeld(row map[string]*string, holds []Hold, e v1alpha1.Entity) bool {
	for _, h := range holds {
		for _, r := range h.Records {
			if r.Entity == e.Name && meets(row, conditions(r.Conditions)) {
				return true
			}
		}
	}
	return false
}

func statutorilyHeld(row map[string]*string, e v1alpha1.Entity) bool {
	return len(e.Holds) > 0 && *row["held"] == "1" &&
		(row["clock"] == nil || *row["clock"] != "2020-01-01T00:00:00Z")
}

func checkAfter(t *rapid.T, w *world, holds []Hold, mine map[string]bool, before, after map[string]map[string]*string) {
	for key, old := range before {
		id := *old["id"]
		e := w.entity(id)
		row := after[key]
		held := legallyHeld(old, holds, e) || statutorilyHeld(old, e)
		if row == nil {
			if !mine[id] || held || e.Action != v1alpha1.ActionDelete {
				t.Fatalf("record %s is gone (mine %v, held %v, action %s)", id, mine[id], held, e.Action)
			}
			continue
		}
		for column, v := range old {
			if sameValue(v, row[column]) {
				continue
			}
			shallow := strings.HasPrefix(column, "s") && row[column] == nil && mine[*v] && w.entity(*v).Action == v1alpha1.ActionDelete
			changed := mine[id] && !held && (e.Action == v1alpha1.ActionAnonymize || e.Action == v1alpha1.ActionMark)
			pinned := mine[id] && !held && e.Pinned != nil && column == "pii"
			if !shallow && !changed && !pinned {
				t.Fatalf("record %s: column %s changed", id, column)
			}
		}
		if mine[id] && !held && (e.Action == v1alpha1.ActionAnonymize) && sameValue(old["pii"], row["pii"]) {
			t.Fatalf("record %s is not anonymised", id)
		}
	}
}

// namedByOthers tells whether a file that may go is named by records of somebody else, too.
func (w *world) namedByOthers(mine map[string]bool) bool {
	own, others := map[string]bool{}, map[string]bool{}
	for _, row := range dump(w.stores) {
		e := w.entity(*row["id"])
		if len(e.Files) == 0 || row["file"] == nil {
			continue
		}
		others[*row["file"]] = others[*row["file"]] || !mine[*row["id"]]
		own[*row["file"]] = own[*row["file"]] || mine[*row["id"]] && e.Action != v1alpha1.ActionKeep
	}
	for file := range own {
		if own[file] && others[file] {
			return true
		}
	}
	return false
}

// checkFiles: a file is gone exactly if the subject's records name it and all that do are gone or anonymised.
func checkFiles(t *rapid.T, w *world, holds []Hold, mine map[string]bool, before, after map[string]map[string]*string) {
	named, kept := map[string]bool{}, map[string]bool{}
	for key, old := range before {
		id := *old["id"]
		e := w.entity(id)
		if !mine[id] || len(e.Files) == 0 || old["file"] == nil {
			continue
		}
		file := "docs/" + *old["file"]
		named[file] = true
		held := legallyHeld(old, holds, e) || statutorilyHeld(old, e)
		if e.Action == v1alpha1.ActionKeep || e.Action == v1alpha1.ActionDelete && after[key] != nil || e.Action == v1alpha1.ActionAnonymize && held {
			kept[file] = true
		}
	}
	for file := range named {
		if there := w.stores["files"].files[file]; there && !kept[file] || !there && kept[file] {
			t.Fatalf("file %s: there %v, kept %v", file, there, kept[file])
		}
	}
}

func checkResidues(t *rapid.T, w *world, g *Graph, plan *Plan, mine map[string]bool) {
	done := map[string]bool{}
	for _, r := range plan.Residues {
		for _, id := range r.After {
			if !done[id] {
				t.Fatalf("residue %s stands before %s, which it waits for", r.ID, id)
			}
		}
		done[r.ID] = true
		if r.Until != nil && !r.Until.After(testNow) {
			t.Fatalf("residue until %v is in the past", r.Until)
		}
		// The clocks of the worlds plus a year.
		if r.Until != nil && r.Until.Before(time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)) {
			t.Fatalf("residue is early: %v", r.Until)
		}
		for _, s := range r.Steps {
			if err := w.stores[s.Store].execute(g.WithLiveHolds(s, nil)); err != nil {
				t.Fatalf("residue: %v", err)
			}
		}
	}
	for _, row := range dump(w.stores) {
		if id := *row["id"]; mine[id] && w.entity(id).Action == v1alpha1.ActionDelete {
			t.Fatalf("record %s is left when all residues are done", id)
		}
	}
}

// A person who came back is left alone: without identities only what is known and what refers to it is found.
func TestSkipIdentitiesFindsNothingNew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		g := mustCompile(t, w.source)
		facts := resolveAll(g, w.stores, me, nil, nil, ResolveOptions{})
		e := w.source.Spec.Entities[0]
		back := map[string]*string{"id": text("e0-new"), "person": text("me"), "held": text("0"), "pii": text("x")}
		w.stores[e.Store].insert(e.Table, back)
		fresh := resolveAll(g, w.stores, me, nil, facts, ResolveOptions{SkipIdentities: true})
		if a, b := jsonText(facts.Entities), jsonText(MergeFacts(facts, fresh).Entities); a != b {
			t.Fatalf("facts changed:\n%s\n%s", a, b)
		}
	})
}

func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"{a}/{b}", "docs/{a}", "{", "}", "{}", "../{a}", "{a}..", "/x", "a//b", "{a}{b}.pdf"} {
		f.Add(s, "value", "x/../y")
	}
	f.Fuzz(func(t *testing.T, s, a, b string) {
		tmpl, err := parseTemplate(s)
		if err != nil {
			return
		}
		p, ok := tmpl.fill(func(c string) (string, bool) { return map[string]string{"a": a, "b": b}[c], true })
		if !ok || !cleanPath(p) {
			return
		}
		if strings.HasPrefix(p, "/") || slices.Contains(strings.Split(p, "/"), "..") || strings.ContainsAny(p, "\\\x00") {
			t.Fatalf("%q with %q, %q gives %q", s, a, b, p)
		}
	})
}

func FuzzTruncateDate(f *testing.F) {
	for _, s := range []string{"2024-02-29", "2024-02-29 10:11:12.5+02", "2024-02-29T10:11Z", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, u := range []v1alpha1.DateUnit{v1alpha1.UnitYear, v1alpha1.UnitMonth, v1alpha1.UnitDay} {
			out, ok := truncateDate(s, u)
			if ok && (len(out) != len(s) || out[:4] != s[:4]) {
				t.Fatalf("%q became %q", s, out)
			}
			if again, _ := truncateDate(out, u); ok && again != out {
				t.Fatalf("%q is not stable: %q", out, again)
			}
		}
	})
}
