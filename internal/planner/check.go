package planner

import (
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

// StoreKind tells stores with tables from those with files, objects, keys and remote records.
type StoreKind string

// The kinds of stores.
const (
	TableStore   StoreKind = "Table"
	PathStore    StoreKind = "Path"
	ObjectStore  StoreKind = "Object"
	KeyStore     StoreKind = "Key"
	ServiceStore StoreKind = "Service"
)

// StoreFacts are what a store says of its schema.
type StoreFacts struct {
	Kind StoreKind
	// DefaultSchema is the schema of tables that name none.
	DefaultSchema string
	// Schema of the mapped tables and of those that refer to them; nil for path stores.
	Schema *backend.Schema
	// Refused are the values that columns do not take, with the reason.
	Refused map[backend.Trial]string
}

// normal gives a table its schema.
func (s StoreFacts) normal(t backend.Table) backend.Table {
	if t.Schema == "" {
		t.Schema = s.DefaultSchema
	}
	return t
}

func (s StoreFacts) find(t backend.Table) *backend.TableInfo {
	if s.Schema == nil {
		return nil
	}
	for i := range s.Schema.Tables {
		if s.normal(s.Schema.Tables[i].Table) == s.normal(t) {
			return &s.Schema.Tables[i]
		}
	}
	return nil
}

// checker gathers problems of the live schemas.
type checker struct {
	g        *Graph
	stores   map[string]StoreFacts
	tables   map[*entity]*backend.TableInfo
	problems []Problem
	warnings []Problem
}

// Check holds the graph against the live schemas and returns everything that would make an erasure fail half-way, leave
// data behind or touch what the maps do not name.
func (g *Graph) Check(stores map[string]StoreFacts) []Problem {
	return sortProblems(g.check(stores).problems)
}

// Warnings returns what works but badly: links without an index, cascades, triggers.
func (g *Graph) Warnings(stores map[string]StoreFacts) []Problem {
	return sortProblems(g.check(stores).warnings)
}

func (g *Graph) check(stores map[string]StoreFacts) *checker {
	c := &checker{g: g, stores: stores, tables: map[*entity]*backend.TableInfo{}}
	for _, e := range g.entities {
		c.checkReferenceStores(e)
		info := c.checkTable(e)
		if info == nil {
			continue
		}
		c.tables[e] = info
		c.checkColumns(e, info)
		c.checkKey(e, info)
		c.checkWrites(e, info)
		c.checkNames(e, info)
		c.checkIndexes(e, info)
		c.warn(e, info)
	}
	for _, e := range g.entities {
		if info := c.tables[e]; info != nil {
			c.checkArrays(e, info)
		}
	}
	c.checkSchemas()
	c.checkIgnoredColumns()
	for _, name := range sortedKeys(stores) {
		c.checkForeignKeys(name)
	}
	return c
}

// checkSchemas refuses a table that is written with its schema in one place and without it in another: only a live store
// tells that both are the same.
func (c *checker) checkSchemas() {
	written := map[tableID]backend.Table{}
	for _, t := range c.g.ignored {
		written[tableID{t.store, c.stores[t.store].normal(t.table)}] = t.table
	}
	for _, e := range c.g.entities {
		id := tableID{e.spec.Store, c.stores[e.spec.Store].normal(e.table)}
		if other, ok := written[id]; ok && other != e.table {
			c.add(e.problem(v1alpha1.ReasonInvalidSpec, "", "table %s stands in the maps with its schema and without; write it the same way everywhere", tableText(id.table)))
		}
		written[id] = e.table
	}
}

func (c *checker) add(p Problem) { c.problems = append(c.problems, p) }

// checkTable finds the entity's table; nil if there is nothing to look at.
func (c *checker) checkTable(e *entity) *backend.TableInfo {
	facts, ok := c.stores[e.spec.Store]
	switch {
	case ok && facts.Kind != TableStore:
		c.add(e.problem(v1alpha1.ReasonInvalidSpec, "", "store %s has no tables; name a DataStore with tables, and what is in this one under files, keys or resources", e.spec.Store))
		return nil
	case !ok || facts.Schema == nil:
		c.add(e.problem(v1alpha1.ReasonStoreNotReady, "", "store %s is not ready; see the DataStore", e.spec.Store))
		return nil
	}
	info := facts.find(e.table)
	switch {
	case info == nil:
		c.add(e.problem(v1alpha1.ReasonSchemaMismatch, "", "table %s of %s does not exist in store %s, or the credentials cannot see it; correct the name or grant access", tableText(facts.normal(e.table)), e.name, e.spec.Store))
		return nil
	case info.Kind == backend.KindInherited:
		c.add(e.problem(v1alpha1.ReasonSchemaMismatch, "", "other tables inherit from table %s of %s: its key is not unique among their records, so that records of others could be deleted; make it a partitioned table", tableText(info.Table), e.name))
		return nil
	case info.Kind != backend.KindTable && info.Kind != backend.KindPartitioned:
		c.add(e.problem(v1alpha1.ReasonSchemaMismatch, "", "%s of %s is no table but a %s; map the table behind it", tableText(info.Table), e.name, strings.ToLower(string(info.Kind))))
		return nil
	case info.RowSecurity:
		c.add(e.problem(v1alpha1.ReasonPrivilegesMissing, "", "row security of table %s could hide records of %s from the credentials; use a role that the policies do not apply to (BYPASSRLS or the owner)", tableText(info.Table), e.name))
	}
	return info
}

// use is a column with what for.
type use struct{ column, what string }

// uses lists the columns that the entity names, in the order of the spec.
func (e *entity) uses() []use {
	var out []use
	add := func(what string, columns ...string) {
		for _, c := range columns {
			out = append(out, use{c, what})
		}
	}
	conds := func(what string, list []v1alpha1.Condition) {
		for _, cond := range list {
			add(what, cond.Column)
		}
	}
	add("key", e.spec.Key...)
	for _, m := range e.spec.IdentifiedBy {
		add("identifiedBy", m.Column)
	}
	for _, ed := range e.edges {
		add("the reference to "+ed.parent.name, ed.columns...)
		add("the conditions of the reference to "+ed.parent.name, columnsOf(ed.own())...)
	}
	for _, ed := range e.children {
		add("the reference from "+ed.child.name, ed.parentColumns...)
		if ed.shared {
			add("the conditions of the reference from "+ed.child.name, columnsOf(ed.conditions)...)
		}
	}
	conds("conditions", e.spec.Conditions)
	conds("activeWhen", e.spec.ActiveWhen)
	for _, h := range e.spec.Holds {
		conds("hold "+h.Name, h.Conditions)
		add("hold "+h.Name, h.Clock)
	}
	for _, r := range e.references {
		add(r.field, r.columns()...)
	}
	for _, f := range e.written() {
		add("fields", f.Column)
		if f.Fingerprint != nil {
			add("the fingerprint", f.Fingerprint.Per...)
			if f.Fingerprint.Parent == "" {
				add("the fingerprint", f.Fingerprint.Columns...)
			}
		}
	}
	for _, ed := range e.children {
		for _, f := range ed.child.written() {
			if f.Fingerprint != nil && f.Fingerprint.Parent != "" && qualified(ed.child.mapName, f.Fingerprint.Parent) == e.name {
				add("the fingerprint of "+ed.child.name, f.Fingerprint.Columns...)
			}
		}
	}
	for _, d := range e.spec.Deactivate {
		add("deactivate", d.Column)
	}
	return out
}

func (c *checker) checkColumns(e *entity, info *backend.TableInfo) {
	seen := map[string]bool{}
	for _, u := range e.uses() {
		if seen[u.column] {
			continue
		}
		seen[u.column] = true
		col := column(info, u.column)
		switch {
		case col == nil:
			c.add(e.problem(v1alpha1.ReasonSchemaMismatch, u.column, "column %s of %s (%s) does not exist in table %s; correct the name", u.column, e.name, u.what, tableText(info.Table)))
		case !col.SelectPrivilege && !info.Privileges.Select:
			c.add(e.problem(v1alpha1.ReasonPrivilegesMissing, u.column, "the credentials may not read column %s of table %s; grant SELECT", u.column, tableText(info.Table)))
		}
	}
}

func (c *checker) checkKey(e *entity, info *backend.TableInfo) {
	unique := slices.ContainsFunc(info.Unique, func(u []string) bool { return len(u) > 0 && subset(u, e.spec.Key) })
	if !unique {
		c.add(e.problem(v1alpha1.ReasonSchemaMismatch, "", "the key of %s (%s) covers no primary key or unique index of table %s, so it may name several records; use the primary key", e.name, strings.Join(e.spec.Key, ", "), tableText(info.Table)))
	}
	for _, k := range e.spec.Key {
		if col := column(info, k); col != nil && col.Nullable {
			c.add(e.problem(v1alpha1.ReasonSchemaMismatch, k, "key column %s of %s may be NULL in table %s, and such a record could not be named; use a column that is NOT NULL", k, e.name, tableText(info.Table)))
		}
	}
}

// checkWrites checks what an erasure does to the table.
func (c *checker) checkWrites(e *entity, info *backend.TableInfo) {
	if e.outside {
		return
	}
	if e.deletes() && !info.Privileges.Delete {
		c.add(e.problem(v1alpha1.ReasonPrivilegesMissing, "", "the credentials may not delete from table %s; grant DELETE", tableText(info.Table)))
	}
	if info.NonTransactional != "" && e.spec.NonTransactional != v1alpha1.NonTransactionalAccept && (e.deletes() || e.updates()) {
		c.add(e.problem(v1alpha1.ReasonSchemaMismatch, "", "table %s is of engine %s, which has no transactions: an erasure that is interrupted would leave it half done until it goes on; "+
			"change the engine, or set nonTransactional: Accept", tableText(info.Table), info.NonTransactional))
	}
	for _, f := range e.written() {
		if col := c.writable(e, info, f.Column); col != nil {
			c.checkValue(e, info, col, f)
		}
	}
	for _, d := range e.spec.Deactivate {
		if d.Value == nil {
			continue
		}
		if why := c.stores[e.spec.Store].Refused[backend.Trial{Table: e.table, Column: d.Column, Text: *d.Value}]; why != "" {
			c.add(e.problem(v1alpha1.ReasonSchemaMismatch, d.Column, "column %s of table %s does not take what deactivate writes: %s", d.Column, tableText(info.Table), why))
		}
	}
	for _, d := range e.spec.Deactivate {
		if col := c.writable(e, info, d.Column); col != nil && d.Value == nil && !col.Nullable {
			c.add(e.problem(v1alpha1.ReasonSchemaMismatch, d.Column, "column %s of table %s is NOT NULL, so deactivate cannot set it to NULL; give a value", d.Column, tableText(info.Table)))
		}
	}
	for _, ed := range e.edges {
		if !ed.parent.deletes() {
			continue
		}
		for _, name := range ed.unlink {
			if col := c.writable(e, info, name); col != nil && !col.Nullable && !ed.element {
				c.add(e.problem(v1alpha1.ReasonSchemaMismatch, name, "column %s of table %s is NOT NULL, so the Shallow link to %s cannot be cut; make the reference Deep or the column nullable", name, tableText(info.Table), ed.parent.name))
			}
		}
	}
}

// checkNames refuses a template that may name what another person's record names too: it would go with the first of them.
func (c *checker) checkNames(e *entity, info *backend.TableInfo) {
	if e.outside || e.spec.Action == v1alpha1.ActionKeep {
		return
	}
	for _, r := range e.references {
		columns := r.columns()
		if slices.ContainsFunc(e.owning(info), func(set []string) bool { return len(set) > 0 && subset(set, columns) }) {
			continue
		}
		first := ""
		if len(columns) > 0 {
			first = columns[0]
		}
		c.add(e.problem(v1alpha1.ReasonInvalidSpec, first, "%s %s may name what another record names too; use columns that are unique together (the key, a unique index, or a reference to the parent)", r.field, r.text))
	}
}

// owning lists the column sets whose values belong to one record, or to the records of one subject: the key, what is
// unique, a Deep reference with all that its conditions look at, and the column of a root that holds the subject's ID.
func (e *entity) owning(info *backend.TableInfo) [][]string {
	sets := append(slices.Clone(info.Unique), e.spec.Key)
	for _, ed := range e.edges {
		if !ed.deep || ed.element {
			continue
		}
		set := slices.Clone(ed.columns)
		for _, cond := range e.spec.Parents[ed.index].Conditions {
			set = append(set, cond.Column)
		}
		sets = append(sets, set)
	}
	if e.spec.Root != nil {
		for _, m := range e.spec.IdentifiedBy {
			if m.Identity == v1alpha1.IdentityID {
				sets = append(sets, []string{m.Column})
			}
		}
	}
	return sets
}

// writable returns a column that can be written, else reports why not.
func (c *checker) writable(e *entity, info *backend.TableInfo, name string) *backend.ColumnInfo {
	col := column(info, name)
	switch {
	case col == nil:
		return nil
	case col.Generated:
		c.add(e.problem(v1alpha1.ReasonSchemaMismatch, name, "column %s of table %s is generated and cannot be written; change the columns that it is made from", name, tableText(info.Table)))
		return nil
	case !col.UpdatePrivilege && !info.Privileges.Update:
		c.add(e.problem(v1alpha1.ReasonPrivilegesMissing, name, "the credentials may not write column %s of table %s; grant UPDATE", name, tableText(info.Table)))
	}
	return col
}

func (c *checker) checkValue(e *entity, info *backend.TableInfo, col *backend.ColumnInfo, f v1alpha1.FieldChange) {
	mismatch := func(format string, args ...any) {
		c.add(e.problem(v1alpha1.ReasonSchemaMismatch, col.Name, "column %s of table %s "+format, append([]any{col.Name, tableText(info.Table)}, args...)...))
	}
	length, text := textLength(col.Type)
	if f.Path != "" {
		if !text && !jsonType.MatchString(col.Type) {
			mismatch("is of type %s; a path needs a column of JSON documents", col.Type)
		}
		return
	}
	switch f.Strategy {
	case v1alpha1.StrategyNull:
		if !col.Nullable {
			mismatch("is NOT NULL, so the strategy Null cannot be used; choose another strategy")
		}
	case v1alpha1.StrategyPseudonym, v1alpha1.StrategyHash, v1alpha1.StrategyRandom, v1alpha1.StrategyFingerprint:
		if !text || length < generatedLength {
			mismatch("is of type %s; the strategy %s needs a text column of at least %d characters", col.Type, f.Strategy, generatedLength)
		}
	case v1alpha1.StrategyRedact:
		if !text && !isArray(col) {
			mismatch("is of type %s; the strategy Redact needs a text column", col.Type)
		}
	case v1alpha1.StrategyConstant:
		if n := utf8.RuneCountInString(*f.Value); text && n > length {
			mismatch("is of type %s, and the value has %d characters; give a shorter one", col.Type, n)
		}
	case v1alpha1.StrategyTruncateDate:
		if !text && !dateType.MatchString(col.Type) {
			mismatch("is of type %s; the strategy TruncateDate needs a date, a timestamp or text", col.Type)
		}
	}
	if t, ok := e.trial(f); ok {
		if why := c.stores[e.spec.Store].Refused[t]; why != "" {
			mismatch("does not take what the strategy %s writes: %s", f.Strategy, why)
		}
	}
	if members := enumMembers(col.Type); f.Strategy == v1alpha1.StrategyConstant && len(members) > 0 && !slices.Contains(members, *f.Value) {
		mismatch("is of type %s, of which the value is none", col.Type)
	}
	if !col.Nullable && f.Strategy == v1alpha1.StrategyFingerprint {
		mismatch("is NOT NULL, and a record without the values that make a fingerprint gets NULL; make it nullable")
	}
	c.checkUnique(e, info, col, f)
	for _, fk := range info.ForeignKeys {
		if slices.Contains(fk.Columns, col.Name) && f.Path == "" && f.Strategy != v1alpha1.StrategyNull && f.Strategy != v1alpha1.StrategyConstant {
			c.add(e.problem(v1alpha1.ReasonForeignKeyUncovered, col.Name, "column %s of table %s refers to %s by constraint %s, which a generated value would break; use the strategy Null", col.Name, tableText(info.Table), tableText(fk.References), fk.Name))
		}
	}
}

// checkUnique refuses a value that several records would get where a unique index allows it once.
func (c *checker) checkUnique(e *entity, info *backend.TableInfo, col *backend.ColumnInfo, f v1alpha1.FieldChange) {
	if f.Strategy != v1alpha1.StrategyConstant && f.Strategy != v1alpha1.StrategyTruncateDate && f.Strategy != v1alpha1.StrategyRedact {
		return
	}
	same := map[string]bool{}
	for _, other := range e.written() {
		same[other.Column] = same[other.Column] || other.Strategy == f.Strategy
	}
	for _, unique := range info.Unique {
		if slices.Contains(unique, col.Name) && !slices.ContainsFunc(unique, func(u string) bool { return !same[u] }) {
			c.add(e.problem(v1alpha1.ReasonSchemaMismatch, col.Name, "column %s of table %s is unique (%s), and the strategy %s would give several records the same value; use Null, Pseudonym, Hash or Random",
				col.Name, tableText(info.Table), strings.Join(unique, ", "), f.Strategy))
			return
		}
	}
}

var (
	jsonType = regexp.MustCompile(`(?i)^jsonb?\b`)
	dateType = regexp.MustCompile(`(?i)^(date|datetime|timestamp|timestamptz)\b`)
	textType = regexp.MustCompile(`(?i)^(?:(?:tiny|medium|long)?text|clob|citext|string|(?:national )?(?:var)?char(?:acter)?(?: varying)?2?|n(?:var)?char|bpchar|native character|varying character)\s*(?:\(\s*(\d+)[^)]*\))?`)
)

// textLength reads the type of a text column with the number of characters that it takes.
func textLength(columnType string) (int, bool) {
	const unlimited = 1 << 30
	t := strings.TrimSpace(columnType)
	if t == "" { // SQLite: a column without a type takes anything
		return unlimited, true
	}
	m := textType.FindStringSubmatch(t)
	if m == nil {
		return 0, false
	}
	if m[1] == "" {
		if lower := strings.ToLower(t); lower == "char" || lower == "character" || lower == "nchar" {
			return 1, true
		}
		return unlimited, true
	}
	n, err := strconv.Atoi(m[1])
	return n, err == nil
}

// warn notes what works but badly.
func (c *checker) warn(e *entity, info *backend.TableInfo) {
	warn := func(column, format string, args ...any) {
		c.warnings = append(c.warnings, e.problem(v1alpha1.ReasonSchemaMismatch, column, format, args...))
	}
	for _, ed := range e.selfEdges() {
		for _, name := range ed.ownColumns() {
			if col := column(info, name); e.deletes() && col != nil && (!col.Nullable || !col.UpdatePrivilege && !info.Privileges.Update) {
				warn(name, "column %s of table %s cannot be set to NULL (it is NOT NULL, or UPDATE is not granted), so records that refer to each other in a circle, or more than %d levels deep, cannot be erased", name, tableText(info.Table), maxLevels)
			}
		}
	}
	for _, s := range e.sharings() {
		for _, twin := range c.g.entities {
			if twin.spec.Store == e.spec.Store && twin.table == s.parent.table && !slices.Contains(s.parents, twin) {
				warn(s.columns[0], "%s maps table %s too, and its records count as those of others: what they refer to stays; name it as a RefCount parent as well", twin.name, tableText(info.Table))
			}
		}
	}
	if len(info.Triggers) > 0 && !e.outside && e.spec.Action != v1alpha1.ActionKeep {
		triggers := slices.Clone(info.Triggers)
		sort.Strings(triggers)
		warn("", "table %s has triggers (%s) that fire when records are erased; make sure that they keep no copy", tableText(info.Table), strings.Join(triggers, ", "))
	}
}

func column(info *backend.TableInfo, name string) *backend.ColumnInfo {
	for i := range info.Columns {
		if info.Columns[i].Name == name {
			return &info.Columns[i]
		}
	}
	return nil
}

func subset(a, b []string) bool {
	return !slices.ContainsFunc(a, func(s string) bool { return !slices.Contains(b, s) })
}

func tableText(t backend.Table) string {
	if t.Schema == "" {
		return t.Name
	}
	return fmt.Sprintf("%s.%s", t.Schema, t.Name)
}
