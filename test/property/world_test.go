package property

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

// now is the time of every erasure.
var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// world is a random database layout with a map that is meant to fit it, and the data of several people.
type world struct {
	tables []*table
	// tenants are the values of the tenant columns; the map covers the first.
	tenants []string
	// engines of the stores with tables.
	engines map[string]string
	// batch is the stores' batch size.
	batch int
	// files on disk by path; those that end in a slash are empty folders.
	files map[string]bool
	// beside are the other stores, in which rows name things; versions: the bucket keeps them.
	beside   map[string]bool
	versions bool
	things   map[thing]made
	subject  map[string][]string
	rid      int
}

// table is one table and the entity that maps it.
type table struct {
	name, store string
	columns     []column
	key         []string
	unique      []string // a further unique column, if any
	fileUnique  []string // the columns that name a file, together unique
	refs        []ref
	hasTenant   bool
	fileColumn  string
	namings     []naming
	handles     []handle
	folder      string
	shared      bool // counted by the references of other tables
	trees       int  // Deep references to itself
	chain       bool // each row refers to the one before
	rows        []*row
	entity      v1alpha1.Entity
}

type column struct {
	name, kind string
	notNull    bool
}

// ref is a reference to another table, one for each of the entity's parents.
type ref struct {
	to                  int
	columns, parents    []string
	deep, fk            bool
	counted             bool // the rows referred to are shared, and go with the last row that refers to them
	mixed               bool // from a table with tenants to one without
	onDelete            string
	whenColumn, whenHas string
}

// row has text or NULL for each column; rid, which no map knows, tells rows apart for the oracle.
type row struct {
	rid int
	v   map[string]*string
}

func (t *table) column(name string) *column {
	for i := range t.columns {
		if t.columns[i].name == name {
			return &t.columns[i]
		}
	}
	return nil
}

func (t *table) add(name, kind string, notNull bool) {
	t.columns = append(t.columns, column{name, kind, notNull})
}

// Values that are easily taken for one another.
var (
	texts = []string{"1", "10", "01", "1 ", " 1", "11", "a_b", "a%b", "axb", "A_B", "o'neil", `q"uote`, "K", "k", "\u212a", "é", "e\u0301",
		"ß", "ss", "", "null", "NULL", `back\slash`, "{a}", "$1", "?1", "1e1", "1.0", "a,b", `{"a":1}`, "a\nb", "%", "_", "😀", "--", "*"}
	ints   = []string{"1", "10", "11", "2", "100", "101", "0", "-1", "9223372036854775807", "-10"}
	smalls = []string{"1", "2", "3", "10", "11", "12", "100", "0"}
	uuids  = []string{"00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000010", "00000000-0000-0000-0000-000000000011",
		"10000000-0000-0000-0000-000000000001", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeef",
		"ffffffff-ffff-ffff-ffff-ffffffffffff", "01000000-0000-0000-0000-000000000000"}
	dates  = []string{"2020-01-01", "2020-01-10", "2020-10-01", "1999-12-31", "2025-05-31", "2025-06-01", "2025-06-02", "2024-02-29"}
	stamps = []string{"2020-01-01 00:00:00", "2025-06-01 12:00:00", "2025-06-01 12:00:01", "2025-06-01 11:59:59", "2026-05-31 10:20:30", "2024-02-29 23:59:59"}
	blobs  = []string{"00", "01", "6161", "ff00ff", "5c27"}
	emails = []string{"kim@x.example", "KIM@x.example", "\u212aim@x.example", "kim@x.example ", " Kim@X.example", "kim@x.exampl", "kım@x.example",
		"ärger@x.example", "ÄRGER@X.example", "k_m@x.example", "k%m@x.example", "Kim Ng", "kim@x.example.org", "bob@x.example", "'@x.example"}
	names = []string{"1.pdf", "10.pdf", "11.pdf", "a_b.pdf", "a%b.pdf", "axb.pdf", "o'neil.pdf", "K.pdf", "k.pdf", "\u212a.pdf", "é.pdf", "e\u0301.pdf",
		"*.pdf", "?.pdf", "a b.pdf", "$HOME", "~", "-rf", "...", "..a", "a..", "{x}", "a\nb"}
)

// Further values of maps and rows; tests of attacks replace them.
var (
	tableNames = []string{"t", "t", "t", "T a", `q"`, "se'l", "tä"}
	constants  = []string{"removed", "", "o'%_\"", "1"}
	redactions = []string{"[gone]", ""}
	sorts      = []string{"1", "a_b", "10", "a%b"} // holds look for the first two
	tenants    = [][]string{{"1", "10"}, {"10", "1", "11"}}
	tenantKind = "small"
)

func pool(kind string) []string {
	switch kind {
	case "int":
		return ints
	case "small":
		return smalls
	case "uuid":
		return uuids
	case "date":
		return dates
	case "stamp":
		return stamps
	case "blob":
		return blobs
	case "email":
		return emails
	}
	return texts
}

func chance(t *rapid.T, of int, label string) bool {
	return rapid.IntRange(0, of-1).Draw(t, label) == of-1
}

func pick[T any](t *rapid.T, from []T, label string) T { return rapid.SampledFrom(from).Draw(t, label) }

func ptr(s string) *string { return &s }

// engines: making tables takes MariaDB longest.
var engines = []string{"sqlite", "postgresql", "sqlite", "postgresql", "sqlite", "postgresql", "sqlite", "postgresql", "mariadb"}

func drawWorld(t *rapid.T, engines []string) *world {
	w := &world{files: map[string]bool{}, things: map[thing]made{}, subject: map[string][]string{}, engines: map[string]string{"main": pick(t, engines, "engine")}}
	w.batch = pick(t, []int{1000, 1, 2, 3}, "batch")
	if chance(t, 3, "second store") {
		w.engines["side"] = pick(t, engines, "second engine")
	}
	w.beside = map[string]bool{objects: rapid.Bool().Draw(t, "objects"), redisKeys: rapid.Bool().Draw(t, "keys")}
	w.versions = rapid.Bool().Draw(t, "versioning")
	if rapid.Bool().Draw(t, "tenants") {
		w.tenants = pick(t, tenants, "tenant values")
	}
	n := rapid.IntRange(3, 10).Draw(t, "tables")
	for i := range n {
		w.drawTable(t, i)
	}
	for i := range w.tables {
		w.drawShallow(t, i)
	}
	for i := range w.tables {
		w.drawTreatment(t, i)
		w.drawNamings(t, i)
	}
	for i := range w.tables {
		w.drawRows(t, i)
	}
	for _, pass := range passes {
		for i := range w.tables {
			w.drawLinks(t, i, pass)
		}
	}
	w.drawSubject(t)
	w.drawStrayFiles(t)
	w.drawThings(t)
	return w
}

func (w *world) drawTable(t *rapid.T, i int) {
	tb := &table{name: fmt.Sprintf("%s%d", pick(t, tableNames, "name"), i), store: "main"}
	w.tables = append(w.tables, tb)
	if i > 0 && w.engines["side"] != "" && chance(t, 3, "elsewhere") {
		tb.store = "side"
	}
	tb.add("rid", "int", true)
	tb.hasTenant = w.tenants != nil && (i == 0 || rapid.Bool().Draw(t, "has tenant"))
	if tb.hasTenant {
		tb.add("tenant", tenantKind, true)
	}
	tb.add("id", pick(t, []string{"int", "text", "uuid", "varchar", "date", "small"}, "key kind"), true)
	tb.key = []string{"id"}
	switch {
	case tb.hasTenant && rapid.Bool().Draw(t, "tenant key"):
		tb.key = []string{"tenant", "id"}
	case chance(t, 5, "composite"):
		tb.add("seq", "small", true)
		tb.key = []string{"id", "seq"}
	}
	if chance(t, 3, "code") {
		tb.add("code", "text", false)
		tb.unique = []string{"code"}
	}
	for p := range 2 {
		tb.add(fmt.Sprintf("p%d", p), pick(t, []string{"text", "varchar", "json", "text", "date", "blob", "stamp", "int", "jsontext"}, "payload"), rapid.Bool().Draw(t, "not null"))
	}
	tb.entity = v1alpha1.Entity{Name: fmt.Sprintf("e%d", i), Store: tb.store, Table: tb.name, Key: tb.key, Category: fmt.Sprintf("c%d", i%3), LegalBasis: "basis"}
	if tb.hasTenant {
		tb.entity.Conditions = []v1alpha1.Condition{{Column: "tenant", Operator: v1alpha1.OperatorIn, Values: w.tenants[:1]}}
	}
	if i == 0 {
		tb.entity.Root = &v1alpha1.Root{Rows: v1alpha1.RowsMany}
	}
	if tb.shared = i > 0 && chance(t, 4, "shared") && w.drawSharing(t, i); tb.shared {
		return
	}
	for j := range i {
		if len(tb.refs) < 2 && (j == i-1 && len(tb.refs) == 0 || chance(t, 3, "deep")) {
			w.drawRef(t, i, j, true)
		}
	}
	if i > 1 && chance(t, 4, "polymorphic") {
		w.drawPolymorphic(t, i)
	}
	tb.trees = pick(t, []int{0, 0, 0, 0, 1, 1, 2}, "trees")
	for range tb.trees {
		w.drawRef(t, i, i, true)
	}
	w.drawIdentities(t, i)
}

func (w *world) drawIdentities(t *rapid.T, i int) {
	tb := w.tables[i]
	if i > 0 && !chance(t, 4, "identified") {
		return
	}
	if i == 0 {
		tb.entity.IdentifiedBy = []v1alpha1.IdentityMatch{{Column: "id", Identity: "id"}}
	}
	if i > 0 || rapid.Bool().Draw(t, "email") {
		tb.add("email", "email", false)
		n := pick(t, []v1alpha1.Normalization{v1alpha1.NormalizeLowerCase, v1alpha1.NormalizeTrimLowerCase, v1alpha1.NormalizeNone, ""}, "normalize")
		tb.entity.IdentifiedBy = append(tb.entity.IdentifiedBy, v1alpha1.IdentityMatch{Column: "email", Identity: "email", Normalize: n})
	}
	if chance(t, 3, "list") {
		tb.add("to_list", "list", rapid.Bool().Draw(t, "list not null"))
		n := pick(t, []v1alpha1.Normalization{v1alpha1.NormalizeTrimLowerCase, v1alpha1.NormalizeLowerCase, v1alpha1.NormalizeNone, ""}, "normalize words")
		tb.entity.IdentifiedBy = append(tb.entity.IdentifiedBy, v1alpha1.IdentityMatch{Column: "to_list", Identity: "email", Normalize: n, Comparison: v1alpha1.CompareContains})
	}
	if i > 0 && chance(t, 3, "two columns") {
		tb.add("author", w.tables[0].column("id").kind, false)
		tb.entity.IdentifiedBy = append(tb.entity.IdentifiedBy, v1alpha1.IdentityMatch{Column: "author", Identity: "id"})
	}
}

// drawRef makes table i refer to table j, by key or by another unique column.
func (w *world) drawRef(t *rapid.T, i, j int, deep bool) {
	tb, to := w.tables[i], w.tables[j]
	r := ref{to: j, deep: deep}
	prefix := fmt.Sprintf("r%d_", len(tb.refs))
	nullable := !deep || i == j && tb.trees > 1 || rapid.Bool().Draw(t, "nullable")
	parents := to.key
	if to.unique != nil && (i != j || nullable) && chance(t, 3, "by code") {
		parents = to.unique
	}
	if !deep && chance(t, 12, "cannot be cut") {
		nullable = false // Check must find it
	}
	allNullable := true
	for _, p := range parents {
		c := prefix + p
		if p == "tenant" && tb.hasTenant {
			c, allNullable = "tenant", false
		} else {
			tb.add(c, to.column(p).kind, !nullable)
			allNullable = allNullable && nullable
		}
		r.columns, r.parents = append(r.columns, c), append(r.parents, p)
	}
	// Rows of another tenant could refer to rows of the subject, which no map can treat.
	r.mixed = tb.hasTenant && !to.hasTenant
	r.fk = tb.store == to.store && (deep || nullable) && rapid.Bool().Draw(t, "constraint")
	if i == j && !nullable && w.engines[tb.store] == "mariadb" {
		r.fk = false // the server lets no row go that refers to itself
	}
	if r.fk {
		actions := []string{"NO ACTION", "RESTRICT", "CASCADE", "NO ACTION"}
		if allNullable {
			actions = append(actions, "SET NULL", "SET NULL")
		}
		r.onDelete = pick(t, actions, "on delete")
	}
	tb.refs = append(tb.refs, r)
}

// drawPolymorphic adds item_type and item_id, which refer to one of two tables.
func (w *world) drawPolymorphic(t *rapid.T, i int) {
	tb := w.tables[i]
	byKind := map[string][]int{}
	kinds := []string{}
	for j := range i {
		if p := w.tables[j]; len(p.key) == 1 {
			k := p.column("id").kind
			if byKind[k] == nil {
				kinds = append(kinds, k)
			}
			byKind[k] = append(byKind[k], j)
		}
	}
	slices.Sort(kinds)
	if len(kinds) == 0 {
		return
	}
	kind := pick(t, kinds, "item kind")
	tb.add("item_type", "small", false)
	tb.add("item_id", kind, false)
	for n, j := range byKind[kind] {
		if n < 2 {
			deep := n == 0 || rapid.Bool().Draw(t, "deep item")
			tb.refs = append(tb.refs, ref{to: j, columns: []string{"item_id"}, parents: []string{"id"}, deep: deep, whenColumn: "item_type",
				whenHas: []string{"1", "10"}[n]})
		}
	}
}

func (w *world) drawShallow(t *rapid.T, i int) {
	if !chance(t, 2, "shallow") {
		return
	}
	j := rapid.IntRange(0, len(w.tables)-1).Draw(t, "shallow to")
	w.drawRef(t, i, j, false)
}

// drawTreatment decides what becomes of the records, mostly so that the constraints allow it.
func (w *world) drawTreatment(t *rapid.T, i int) {
	tb := w.tables[i]
	e := &tb.entity
	actions := []v1alpha1.EntityAction{v1alpha1.ActionDelete, v1alpha1.ActionDelete, v1alpha1.ActionDelete, v1alpha1.ActionAnonymize,
		v1alpha1.ActionAnonymize, v1alpha1.ActionMark, v1alpha1.ActionKeep}
	if i == 0 {
		actions = []v1alpha1.EntityAction{v1alpha1.ActionDelete, v1alpha1.ActionDelete, v1alpha1.ActionDelete, v1alpha1.ActionAnonymize}
	}
	e.Action = pick(t, actions, "action")
	if e.Action == v1alpha1.ActionAnonymize || e.Action == v1alpha1.ActionMark {
		e.Fields = w.drawFields(t, tb)
		if tb.column("to_list") != nil && rapid.Bool().Draw(t, "redact the list") {
			e.Fields = append(e.Fields, v1alpha1.FieldChange{Column: "to_list", Strategy: v1alpha1.StrategyRedact, Value: ptr("[gone]")})
		}
		w.drawForgotten(t, tb)
		if chance(t, 6, "final") {
			e.Order = v1alpha1.OrderFinal
		}
	}
	w.fitReferences(t, tb)
	if e.Action != v1alpha1.ActionKeep && chance(t, 3, "hold") {
		w.drawHold(t, tb)
	}
	if e.Action == v1alpha1.ActionDelete && chance(t, 3, "pinned") {
		e.Pinned = &v1alpha1.Pinned{Fields: w.drawFields(t, tb)}
	}
	if e.Action != v1alpha1.ActionMark && chance(t, 3, "files") {
		tb.fileColumn, tb.folder, tb.fileUnique = "file", fmt.Sprintf("docs/%d", i), []string{"file"}
		tb.add("file", "text", false)
		f := v1alpha1.FileReference{Store: "files", Path: tb.folder + "/{file}", Kind: v1alpha1.FileKindFile}
		if tb.hasTenant && rapid.Bool().Draw(t, "tenant's folder") {
			f.Path = tb.folder + "/{tenant}-x/{file}"
			tb.fileUnique = []string{"tenant", "file"}
		}
		if chance(t, 3, "folders") {
			f.Kind = v1alpha1.FileKindDirectory
		}
		e.Files = []v1alpha1.FileReference{f}
	}
	e.Parents = append(e.Parents, w.sharers(i)...)
	for _, r := range tb.refs {
		if r.counted {
			continue
		}
		p := v1alpha1.Parent{Entity: fmt.Sprintf("e%d", r.to), Relation: v1alpha1.RelationShallow}
		if r.deep {
			p.Relation = v1alpha1.RelationDeep
		}
		for c := range r.columns {
			p.Columns = append(p.Columns, v1alpha1.ColumnPair{Column: r.columns[c], ParentColumn: r.parents[c]})
		}
		p.Conditions = r.conditions()
		e.Parents = append(e.Parents, p)
	}
}

// fitReferences drops what would block the erasure: a record that stays cannot keep a constraint on one that goes.
func (w *world) fitReferences(t *rapid.T, tb *table) {
	for i := range tb.refs {
		r := &tb.refs[i]
		if !r.deep || !r.fk || tb.entity.Action == v1alpha1.ActionDelete || w.tables[r.to].entity.Action != v1alpha1.ActionDelete {
			continue
		}
		own := tb.column(r.columns[len(r.columns)-1])
		switch {
		case chance(t, 25, "does not fit"): // Check must find it
		case tb.entity.Action == v1alpha1.ActionAnonymize && !own.notNull && !slices.Contains(tb.key, own.name):
			tb.entity.Fields = append(tb.entity.Fields, v1alpha1.FieldChange{Column: own.name, Strategy: v1alpha1.StrategyNull})
		default:
			r.fk = false
		}
	}
}

func (w *world) drawFields(t *rapid.T, tb *table) []v1alpha1.FieldChange {
	var fields []v1alpha1.FieldChange
	for _, name := range []string{"p0", "p1"} {
		c := tb.column(name)
		if name == "p1" && rapid.Bool().Draw(t, "one field") {
			break
		}
		var strategies []v1alpha1.AnonymizeStrategy
		switch c.kind {
		case "text", "varchar":
			strategies = []v1alpha1.AnonymizeStrategy{v1alpha1.StrategyConstant, v1alpha1.StrategyPseudonym, v1alpha1.StrategyRedact, v1alpha1.StrategyHash, v1alpha1.StrategyRandom,
				v1alpha1.StrategyRedact}
		case "json", "jsontext":
			fields = append(fields, drawMembers(t, name)...)
			continue
		case "date", "stamp":
			strategies = []v1alpha1.AnonymizeStrategy{v1alpha1.StrategyTruncateDate}
		default:
			strategies = []v1alpha1.AnonymizeStrategy{v1alpha1.StrategyConstant}
		}
		if !c.notNull {
			strategies = append(strategies, v1alpha1.StrategyNull)
		}
		f := v1alpha1.FieldChange{Column: name, Strategy: pick(t, strategies, "strategy")}
		switch f.Strategy {
		case v1alpha1.StrategyConstant:
			f.Value = ptr(map[string]string{"int": "7", "blob": `\x07`}[c.kind])
			if c.kind == "text" || c.kind == "varchar" {
				f.Value = ptr(pick(t, constants, "constant"))
			}
		case v1alpha1.StrategyRedact:
			f.Value = ptr(pick(t, redactions, "redaction"))
		case v1alpha1.StrategyTruncateDate:
			f.Unit = pick(t, []v1alpha1.DateUnit{v1alpha1.UnitYear, v1alpha1.UnitMonth, v1alpha1.UnitDay}, "unit")
		}
		fields = append(fields, f)
	}
	return fields
}

func (w *world) drawHold(t *rapid.T, tb *table) {
	tb.add("since", pick(t, []string{"stamp", "date"}, "clock"), false)
	h := v1alpha1.StatutoryHold{Name: "tax", LegalBasis: "tax law", Clock: "since", Period: "P1Y"}
	if rapid.Bool().Draw(t, "conditional hold") {
		tb.add("sort", "text", false)
		h.Conditions = []v1alpha1.Condition{{Column: "sort", Operator: v1alpha1.OperatorIn, Values: slices.Clone(sorts[:2])}}
		if rapid.Bool().Draw(t, "negated") {
			h.Conditions[0].Operator = v1alpha1.OperatorNotIn
		}
	}
	tb.entity.Holds = []v1alpha1.StatutoryHold{h}
}

// drawRows makes the rows with keys and values; references come when all keys are there.
func (w *world) drawRows(t *rapid.T, i int) {
	tb := w.tables[i]
	n := rapid.IntRange(0, 7).Draw(t, "rows")
	if i == 0 {
		n = rapid.IntRange(2, 6).Draw(t, "people")
	}
	if tb.chain = tb.mayChain(i) && chance(t, 8, "chain"); tb.chain {
		n = 66 // more than there are levels
	}
	taken := map[string]bool{}
	fileNames := rapid.Permutation(names).Draw(t, "file names")
	given := map[string][]string{}
	for _, h := range tb.handles {
		given[h.column] = rapid.Permutation(h.values).Draw(t, "handles")
		if w.engines[tb.store] == "mariadb" {
			given[h.column] = slices.DeleteFunc(given[h.column], func(v string) bool { return strings.HasSuffix(v, " ") })
		}
	}
	for k := range n {
		w.rid++
		r := &row{rid: w.rid, v: map[string]*string{}}
		for _, c := range tb.columns {
			r.v[c.name] = w.drawValue(t, tb, c, k)
		}
		if i == 0 && k == 0 && tb.hasTenant {
			r.v["tenant"] = ptr(w.tenants[0])
		}
		if tb.chain {
			r.v["id"] = ptr(strconv.Itoa(1000 + k))
		}
		id := ""
		for _, c := range tb.key {
			id += "\x00" + *r.v[c]
		}
		if taken[id] {
			continue
		}
		taken[id] = true
		for _, h := range tb.handles {
			if k < len(given[h.column]) && !chance(t, 6, "no handle") {
				r.v[h.column] = ptr(given[h.column][k])
			}
		}
		if code := r.v["code"]; code != nil {
			if taken["code "+*code] {
				r.v["code"] = nil
			}
			taken["code "+*code] = true
		}
		if tb.fileColumn != "" && k < len(names) && !chance(t, 4, "no file") {
			r.v["file"] = ptr(fileNames[k])
			if p := tb.path(r); p != "" && !chance(t, 6, "file lost") {
				w.place(t, tb, p)
			}
		}
		tb.rows = append(tb.rows, r)
	}
}

func (w *world) drawValue(t *rapid.T, tb *table, c column, k int) *string {
	switch {
	case c.name == "rid":
		return ptr(fmt.Sprint(w.rid))
	case c.name == "tenant":
		return ptr(pick(t, w.tenants, "tenant"))
	case c.name == "file":
		return nil
	case c.name == "item_type" || strings.HasPrefix(c.name, "kind"):
		return pick(t, []*string{ptr("1"), ptr("10"), ptr("11"), nil}, "item type")
	case c.name == "sort":
		if chance(t, 5, "no sort") {
			return nil
		}
		return ptr(pick(t, sorts, "sort"))
	case c.name == "p0" || c.name == "p1":
		if c.kind == "text" || c.kind == "varchar" {
			return ptr(fmt.Sprintf("personal %d %s %s %s", w.rid, c.name, pick(t, texts, c.name), pick(t, emails, "in the text")))
		}
	case c.kind == "list":
		if !c.notNull && chance(t, 6, "no list") {
			return nil
		}
		return ptr(drawList(t))
	case strings.HasPrefix(c.name, "r") || strings.HasPrefix(c.name, "h") || c.name == "item_id":
		return nil // drawLinks
	}
	if !c.notNull && chance(t, 4, "null") {
		return nil
	}
	if c.kind == "json" || c.kind == "jsontext" {
		return ptr(drawDocument(t, w.rid))
	}
	v := pick(t, pool(c.kind), c.name)
	if w.engines[tb.store] == "mariadb" && (c.kind == "text" || c.kind == "varchar") {
		v = strings.TrimRight(v, " ")
	}
	return ptr(v)
}

// drawLinks lets rows refer to rows, now and then to none or, without a constraint, to one that does not exist.
func (w *world) drawLinks(t *rapid.T, i int, pass func(i int, f ref) bool) {
	tb := w.tables[i]
	var kept []*row
	for _, r := range tb.rows {
		ok := true
		for _, f := range tb.refs {
			ok = (!pass(i, f) || w.drawLink(t, tb, r, f)) && ok
		}
		if ok {
			kept = append(kept, r)
		}
	}
	tb.rows = kept
}

func (w *world) drawLink(t *rapid.T, tb *table, r *row, f ref) bool {
	to := w.tables[f.to]
	if f.whenColumn != "" && (r.v[f.whenColumn] == nil || *r.v[f.whenColumn] != f.whenHas) {
		// The same value means something else here.
		if c := f.columns[0]; r.v[c] == nil && len(to.rows) > 0 && rapid.Bool().Draw(t, "of another type") {
			r.v[c] = pick(t, to.rows, "look-alike").v[f.parents[0]]
		}
		return true
	}
	var candidates []*row
	for _, p := range to.rows {
		fits := !tb.hasTenant || !to.hasTenant || *p.v["tenant"] == *r.v["tenant"]
		for _, c := range f.parents {
			fits = fits && p.v[c] != nil
		}
		if fits {
			candidates = append(candidates, p)
		}
	}
	if f.fk && f.mixed && !w.covered(tb, r) && !chance(t, 3, "of another tenant") {
		candidates = nil
	}
	required := tb.column(f.columns[len(f.columns)-1]).notNull
	if to == tb && f.deep {
		candidates = tb.above(r, candidates, required)
	}
	if len(candidates) == 0 || !required && (!tb.chain || to != tb) && chance(t, 4, "no link") {
		if required && f.fk {
			return false
		}
		for i, c := range f.columns {
			if tb.column(c).notNull && c != "tenant" {
				r.v[c] = ptr(pick(t, pool(to.column(f.parents[i]).kind), "dangling"))
			}
		}
		return true
	}
	p := pick(t, candidates, "parent")
	for i, c := range f.columns {
		if c != "tenant" {
			r.v[c] = p.v[f.parents[i]]
		}
	}
	return true
}

// drawSubject takes the identities of the first person, and those of a second account now and then.
func (w *world) drawSubject(t *rapid.T) {
	first := w.tables[0].rows[0]
	w.drawIdentity(t, *first.v["id"])
}

func (w *world) drawIdentity(t *rapid.T, id string) {
	w.subject = map[string][]string{"id": {id}}
	w.subject["email"] = []string{pick(t, emails, "address")}
	if chance(t, 3, "second address") {
		w.subject["email"] = append(w.subject["email"], pick(t, emails, "another address"))
	}
	if chance(t, 5, "blank") {
		w.subject["email"] = append(w.subject["email"], " ")
	}
	// What has nothing but separators cannot be searched for in texts, and is refused.
	w.subject["email"] = slices.DeleteFunc(w.subject["email"], func(s string) bool { return s != " " && strings.Trim(s, backend.WordSeparators) == "" })
}

func (w *world) place(t *rapid.T, tb *table, p string) {
	if tb.entity.Files[0].Kind == v1alpha1.FileKindFile {
		w.files[p] = true
		return
	}
	for _, f := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "sub/a", "sub/b", "empty/", "a_b"}), 0, 3, rapid.ID[string]).Draw(t, "in the folder") {
		w.files[p+"/"+f] = true
	}
	w.files[p+"/"] = true
}

// drawStrayFiles adds files that no row names.
func (w *world) drawStrayFiles(t *rapid.T) {
	for _, n := range rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 4, rapid.ID[string]).Draw(t, "stray") {
		w.files["docs/stray/"+n] = true
		w.files["docs/"+n+"-x/"+n] = true
	}
}

// path of the file or folder that a row names, empty for none.
func (tb *table) path(r *row) string {
	if tb.fileColumn == "" || r.v["file"] == nil || *r.v["file"] == "" {
		return ""
	}
	p := strings.ReplaceAll(tb.entity.Files[0].Path, "{file}", "\x00")
	if tb.hasTenant {
		p = strings.ReplaceAll(p, "{tenant}", *r.v["tenant"])
	}
	return strings.ReplaceAll(p, "\x00", *r.v["file"])
}
