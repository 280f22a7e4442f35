package sql

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/internal/backend"
)

// The aliases of a query's own table, of its table in one branch of several matches, of a parent, and of a table that is
// asked whether others refer to a record.
const (
	self   = "t"
	branch = "u"
	parent = "p"
	other  = "o"
)

// Resolve makes one statement for each query, in their order. Its columns are the key, Columns, Clocks, Flags and
// Shared.
func (c *Compiler) Resolve(req backend.ResolveRequest) ([]Statement, error) {
	index := make(map[string]int, len(req.Queries))
	statements := make([]Statement, 0, len(req.Queries))
	for i, q := range req.Queries {
		if _, twice := index[q.Entity]; twice {
			return nil, &backend.RefusedError{Entity: q.Entity, Problem: "two queries have this name"}
		}
		r := resolver{Compiler: c, queries: req.Queries, index: index}
		s, err := r.statement(i, req.MaxRows)
		if err != nil {
			return nil, withEntity(err, q.Entity)
		}
		statements = append(statements, s)
		index[q.Entity] = i
	}
	return statements, nil
}

// SplitFlags takes the tests at the end of a row apart.
func SplitFlags(all []bool, q *backend.Query) (flags, shared []bool) {
	return all[:len(q.Flags):len(q.Flags)], all[len(q.Flags):]
}

func numbered(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s%d", prefix, i+1)
	}
	return names
}

func named(exprs, names []string) []string {
	list := make([]string, len(exprs))
	for i, e := range exprs {
		list[i] = e + " AS " + names[i]
	}
	return list
}

// references are the columns of a parent that its children refer to, and its tests, under the names that parent gives them.
func (r *resolver) references(p int) ([]string, error) {
	exprs, _, err := r.columns(self, r.queries[p].Table, r.needed[p])
	if err != nil {
		return nil, err
	}
	tests := make([]string, len(r.tests[p]))
	for i, conds := range r.tests[p] {
		if tests[i], err = r.conditions(&r.b, self, r.queries[p].Table, conds); err != nil {
			return nil, err
		}
	}
	return append(named(exprs, numbered("r", len(exprs))), named(tests, numbered("f", len(tests)))...), nil
}

func reference(i int) string { return fmt.Sprintf("r%d", i+1) }

// limit is one more than allowed, which tells that there are too many.
func (r *resolver) limit(maxRows int64) any {
	if maxRows > 0 {
		return maxRows + 1
	}
	return r.Dialect.NoLimit()
}

// resolver makes the statement of one query; index holds the queries before it.
type resolver struct {
	*Compiler
	queries []backend.Query
	index   map[string]int
	b       Builder
	// needed are the columns of each parent, direct or further up, that the statement refers to.
	needed map[int][]string
	// tests are conditions on parents that the statement tells apart.
	tests map[int][][]backend.Condition
}

// test finds the conditions among the tests of a parent.
func (r *resolver) test(p int, conds []backend.Condition) int {
	return slices.IndexFunc(r.tests[p], func(t []backend.Condition) bool {
		return slices.EqualFunc(t, conds, func(a, b backend.Condition) bool {
			return a.Column == b.Column && a.Operator == b.Operator && slices.Equal(a.Values, b.Values)
		})
	})
}

func (r *resolver) statement(i int, maxRows int64) (Statement, error) {
	q := r.queries[i]
	table, _, err := r.table(q.Table)
	if err != nil {
		return Statement{}, err
	}
	with, err := r.with(i)
	if err != nil {
		return Statement{}, err
	}
	list, order, err := r.selectList(q)
	if err != nil {
		return Statement{}, err
	}
	where, err := r.found(i, q, table)
	if err != nil {
		return Statement{}, err
	}
	// The limit stands outside of what finds the rows: else it tempts planners, who do not know its value, to walk through
	// whole tables in the hope to have found enough soon.
	values, keys := numbered("v", len(list)), numbered("k", len(order))
	if r.b.err != nil {
		return Statement{}, r.b.err
	}
	text := fmt.Sprintf("%slethe_found AS %s (SELECT %s FROM %s AS %s WHERE %s) SELECT %s FROM lethe_found ORDER BY %s LIMIT %s",
		with, r.Dialect.Materialized(), strings.Join(append(named(list, values), named(order, keys)...), ", "), table, self, where,
		strings.Join(values, ", "), strings.Join(keys, ", "), r.Dialect.Placeholder(r.b.Bind(r.limit(maxRows))))
	return Statement{Text: text, Args: r.b.args, Op: i}, nil
}

func (r *resolver) selectList(q backend.Query) (list, order []string, err error) {
	if len(q.KeyColumns) == 0 {
		return nil, nil, &backend.RefusedError{Problem: "no key columns", Remedy: "name them in the data map"}
	}
	names := make([]string, 0, len(q.KeyColumns)+len(q.Columns)+len(q.Clocks))
	names = append(append(append(names, q.KeyColumns...), q.Columns...), q.Clocks...)
	exprs, cols, err := r.columns(self, q.Table, names)
	if err != nil {
		return nil, nil, err
	}
	for i, e := range exprs {
		list = append(list, r.Dialect.Read(e, cols[i]))
	}
	for _, f := range q.Flags {
		term, err := r.conditions(&r.b, self, q.Table, f)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, term)
	}
	for i := range q.Shared {
		term, err := r.shared(q.Table, &q.Shared[i])
		if err != nil {
			return nil, nil, err
		}
		list = append(list, term)
	}
	return list, exprs[:len(q.KeyColumns)], nil
}

// shared is true where records that none of the match's queries finds have in ParentColumns what this one has in Columns.
func (r *resolver) shared(t backend.Table, m *backend.SharedMatch) (string, error) {
	from := r.queries[r.index[m.Entities[0]]].Table // need has checked it
	table, _, err := r.table(from)
	if err != nil {
		return "", err
	}
	terms, err := r.referring(self, t, m.Columns, other, from, m.ParentColumns, m.Element)
	if err != nil {
		return "", err
	}
	conds, err := r.conditions(&r.b, other, from, m.Conditions)
	if err != nil {
		return "", err
	}
	terms = append(terms, conds)
	for _, name := range m.Entities {
		p := r.index[name]
		q := r.queries[p]
		keys, _, err := r.columns(other, from, q.KeyColumns)
		if err != nil {
			return "", err
		}
		found := make([]string, len(keys))
		for i, k := range q.KeyColumns {
			found[i] = parent + "." + reference(slices.Index(r.needed[p], k))
		}
		terms = append(terms, fmt.Sprintf("%s NOT IN (SELECT %s FROM %s AS %s)", tuple(keys), strings.Join(found, ", "), cte(p), parent))
	}
	return fmt.Sprintf("EXISTS (SELECT 1 FROM %s AS %s WHERE %s)", table, other, strings.Join(terms, " AND ")), nil
}

// referring are the tests that a record of the other table refers to one of this, by columns or by the elements of one.
func (c *Compiler) referring(alias string, t backend.Table, columns []string, otherAlias string, otherTable backend.Table, otherColumns []string, element bool) ([]string, error) {
	if !element {
		return c.pairs(alias, t, columns, otherAlias, otherTable, otherColumns)
	}
	if len(columns) != 1 || len(otherColumns) != 1 {
		return nil, errOneArray
	}
	own, ownCol, err := c.column(alias, t, columns[0])
	if err != nil {
		return nil, err
	}
	theirs, theirCol, err := c.column(otherAlias, otherTable, otherColumns[0])
	if err != nil {
		return nil, err
	}
	arrays, err := c.arrays(theirCol)
	if err != nil {
		return nil, err
	}
	return []string{arrays.ElementOf(own, ownCol, theirs, theirCol)}, nil
}

var errOneArray = &backend.RefusedError{Problem: "a reference by the elements of an array needs one column on each side", Remedy: "correct the data map"}

// pairs are comparisons of the columns of one table with those of another.
func (c *Compiler) pairs(alias string, t backend.Table, columns []string, otherAlias string, otherTable backend.Table, otherColumns []string) ([]string, error) {
	if len(columns) == 0 || len(columns) != len(otherColumns) {
		return nil, &backend.RefusedError{Problem: "a reference needs as many columns as it refers to", Remedy: "correct the data map"}
	}
	own, ownCols, err := c.columns(alias, t, columns)
	if err != nil {
		return nil, err
	}
	theirs, theirCols, err := c.columns(otherAlias, otherTable, otherColumns)
	if err != nil {
		return nil, err
	}
	var terms []string
	for i := range own {
		// The other table is the one that is searched: its side keeps its form, so that an index on it serves.
		terms = append(terms, equal(c.Dialect.Pair(theirs[i], theirCols[i], own[i], ownCols[i]))...)
	}
	return terms, nil
}

// equal compares expressions one by one.
func equal(left, right []string) []string {
	terms := make([]string, len(left))
	for i := range left {
		terms[i] = left[i] + " = " + right[i]
	}
	return terms
}

// with defines a common table expression for every parent, so that the text grows with their number and not with the
// number of ways that lead to them.
func (r *resolver) with(i int) (string, error) {
	r.needed, r.tests = map[int][]string{}, map[int][][]backend.Condition{}
	if err := r.need(i, map[int]bool{}); err != nil {
		return "", err
	}
	var ctes []string
	recursive := ""
	for p := range i + 1 {
		if _, ok := r.needed[p]; !ok {
			continue
		}
		text, err := r.expression(p)
		if err != nil {
			return "", err
		}
		if len(r.queries[p].Self) > 0 {
			recursive = "RECURSIVE "
		}
		ctes = append(ctes, text)
	}
	return "WITH " + recursive + strings.Join(append(ctes, ""), ", "), nil
}

// expression defines what a query finds, with what it leads to in its own table.
func (r *resolver) expression(p int) (string, error) {
	q := r.queries[p]
	table, _, err := r.table(q.Table)
	if err != nil {
		return "", err
	}
	exprs, err := r.references(p)
	if err != nil {
		return "", err
	}
	where, err := r.where(q, table)
	if err != nil {
		return "", err
	}
	list := strings.Join(exprs, ", ")
	text := fmt.Sprintf("SELECT %s FROM %s AS %s WHERE %s", list, table, self, where)
	if len(q.Self) == 0 {
		return cte(p) + " AS (" + text + ")", nil
	}
	scope, err := r.conditions(&r.b, self, q.Table, q.Scope)
	if err != nil {
		return "", err
	}
	ways := make([]string, len(q.Self))
	for i := range q.Self {
		if ways[i], err = r.onward(p, &q.Self[i]); err != nil {
			return "", err
		}
	}
	// UNION, not UNION ALL: records that refer to each other in a circle are found once.
	return fmt.Sprintf("%s AS (%s UNION SELECT %s FROM %s AS %s JOIN %s AS %s ON %s WHERE %s)", cte(p), text, list, cte(p), parent, table, self, or(ways), scope), nil
}

// onward joins a record of the table with one that was found and that it refers to.
func (r *resolver) onward(p int, m *backend.ParentMatch) (string, error) {
	q := r.queries[p]
	own, ownCols, err := r.columns(self, q.Table, m.Columns)
	if err != nil {
		return "", err
	}
	_, theirCols, err := r.columns(parent, q.Table, m.ParentColumns)
	if err != nil {
		return "", err
	}
	var on []string
	for i := range own {
		on = append(on, equal(r.Dialect.Pair(own[i], ownCols[i], parent+"."+reference(slices.Index(r.needed[p], m.ParentColumns[i])), theirCols[i]))...)
	}
	conds, err := r.conditions(&r.b, self, q.Table, m.Conditions)
	if err != nil {
		return "", err
	}
	return and(append(on, conds)), nil
}

func cte(i int) string { return fmt.Sprintf("lethe_%d", i) }

// need notes which columns of the queries before, and of its own where it leads to itself, a query refers to.
func (r *resolver) need(i int, seen map[int]bool) error {
	if seen[i] {
		return nil
	}
	seen[i] = true
	q := &r.queries[i]
	for k := range q.Self {
		m := &q.Self[k]
		if len(m.Columns) == 0 || len(m.Columns) != len(m.ParentColumns) {
			return &backend.RefusedError{Problem: "the reference to itself needs as many columns as parent columns", Remedy: "correct the data map"}
		}
		r.refer(i, append(slices.Clone(q.KeyColumns), m.ParentColumns...))
	}
	for _, m := range q.AnyOf {
		if m.Parent == nil {
			continue
		}
		if err := r.needParent(i, m.Parent, seen); err != nil {
			return err
		}
	}
	for k := range q.Shared {
		if err := r.needShared(i, &q.Shared[k], seen); err != nil {
			return err
		}
	}
	return nil
}

func (r *resolver) needShared(i int, m *backend.SharedMatch, seen map[int]bool) error {
	if len(m.Entities) == 0 {
		return &backend.RefusedError{Problem: "nothing tells which table shares its records"}
	}
	for _, name := range m.Entities {
		p, err := r.earlier(i, name)
		if err != nil {
			return err
		}
		if first := r.queries[r.index[m.Entities[0]]].Table; r.queries[p].Table != first {
			return &backend.RefusedError{Problem: fmt.Sprintf("%s and %s share its records and are queries for different tables", m.Entities[0], name)}
		}
		r.refer(p, r.queries[p].KeyColumns)
		if err := r.need(p, seen); err != nil {
			return err
		}
	}
	return nil
}

func (r *resolver) needParent(i int, m *backend.ParentMatch, seen map[int]bool) error {
	p, err := r.earlier(i, m.Entity)
	if err != nil {
		return err
	}
	r.refer(p, m.ParentColumns)
	if len(m.ParentConditions) > 0 && r.test(p, m.ParentConditions) < 0 {
		r.tests[p] = append(r.tests[p], m.ParentConditions)
	}
	return r.need(p, seen)
}

// earlier is the index of a query that stands before the i-th.
func (r *resolver) earlier(i int, name string) (int, error) {
	p, ok := r.index[name]
	if !ok || p >= i {
		return 0, &backend.RefusedError{Problem: fmt.Sprintf("its parent %s is not an earlier query", name)}
	}
	return p, nil
}

func (r *resolver) refer(p int, columns []string) {
	for _, n := range columns {
		if !slices.Contains(r.needed[p], n) {
			r.needed[p] = append(r.needed[p], n)
		}
	}
}

// found is the condition that selects what a query finds, under the alias self.
func (r *resolver) found(i int, q backend.Query, table string) (string, error) {
	if len(q.Self) == 0 {
		return r.where(q, table)
	}
	keys, _, err := r.columns(self, q.Table, q.KeyColumns)
	if err != nil {
		return "", err
	}
	refs := make([]string, len(keys))
	for n, k := range q.KeyColumns {
		refs[n] = parent + "." + reference(slices.Index(r.needed[i], k))
	}
	return fmt.Sprintf("%s IN (SELECT %s FROM %s AS %s)", tuple(keys), strings.Join(refs, ", "), cte(i), parent), nil
}

// where is scope and match of a query under the alias self.
func (r *resolver) where(q backend.Query, table string) (string, error) {
	scope, err := r.conditions(&r.b, self, q.Table, q.Scope)
	if err != nil {
		return "", err
	}
	match, err := r.anyOf(q, table)
	if err != nil {
		return "", err
	}
	if len(q.Scope) == 0 {
		return match, nil
	}
	return scope + " AND " + match, nil
}

func (r *resolver) anyOf(q backend.Query, table string) (string, error) {
	keys, cols, err := r.columns(branch, q.Table, q.KeyColumns)
	if err != nil {
		return "", err
	}
	union := len(q.AnyOf) > 1
	for _, k := range cols {
		union = union && k.NotNull // NULL is in no list: such a record must not get lost here
	}
	alias := self
	if union {
		alias = branch
	}
	terms := make([]string, 0, len(q.AnyOf))
	for _, m := range q.AnyOf {
		term, err := r.match(alias, q.Table, m)
		if err != nil {
			return "", err
		}
		terms = append(terms, term)
	}
	if !union {
		return or(terms), nil
	}
	// An OR over different columns makes most databases read the whole table; a union uses an index for each.
	for i, term := range terms {
		terms[i] = fmt.Sprintf("SELECT %s FROM %s AS %s WHERE %s", strings.Join(named(keys, numbered("k", len(keys))), ", "), table, branch, term)
	}
	own, cols, err := r.columns(self, q.Table, q.KeyColumns)
	if err != nil {
		return "", err
	}
	return r.Dialect.InUnion(own, cols, terms), nil
}

func (r *resolver) match(alias string, t backend.Table, m backend.Match) (string, error) {
	switch {
	case m.Identity != nil && m.Parent == nil && m.Values == nil:
		return r.identity(alias, t, m.Identity)
	case m.Parent != nil && m.Identity == nil && m.Values == nil:
		return r.parent(alias, t, m.Parent)
	case m.Values != nil && m.Identity == nil && m.Parent == nil:
		return r.values(alias, t, m.Values)
	default:
		return "", &backend.RefusedError{Problem: "a match needs exactly one of identity, parent and values"}
	}
}

func (r *resolver) identity(alias string, t backend.Table, m *backend.IdentityMatch) (string, error) {
	expr, col, err := r.column(alias, t, m.Column)
	if err != nil {
		return "", err
	}
	if len(m.Values) == 0 {
		return or(nil), nil
	}
	if m.Element {
		return r.element(expr, col, m)
	}
	return r.normalized(expr, col, m)
}

func (r *resolver) normalized(expr string, col *Column, m *backend.IdentityMatch) (string, error) {
	switch m.Normalize {
	case "", backend.None:
		if m.Contains {
			return r.contains(expr, col, m)
		}
		return r.Dialect.InText(&r.b, []string{expr}, []*Column{col}, asRows(m.Values)), nil
	case backend.LowerCase, backend.TrimLowerCase:
	default:
		return "", &backend.RefusedError{
			Problem: fmt.Sprintf("column %q: unknown normalization %q", m.Column, m.Normalize),
			Remedy:  "use None, LowerCase or TrimLowerCase",
		}
	}
	if m.Contains {
		return r.contains(expr, col, m)
	}
	folded, exact := split(m.Values)
	var terms []string
	if len(exact) > 0 {
		terms = append(terms, r.Dialect.InText(&r.b, []string{expr}, []*Column{col}, asRows(exact)))
	}
	if len(folded) > 0 {
		terms = append(terms, r.Dialect.InFolded(&r.b, expr, col, folded, m.Normalize, AllASCII(folded)))
	}
	return or(terms), nil
}

// element is true where an element of an array column is one of the values.
func (r *resolver) element(expr string, col *Column, m *backend.IdentityMatch) (string, error) {
	arrays, err := r.arrays(col)
	if err != nil {
		return "", err
	}
	if m.Contains {
		return "", &backend.RefusedError{Problem: fmt.Sprintf("column %q: an element is compared as a whole", m.Column), Remedy: "correct the data map"}
	}
	if m.Normalize == "" || m.Normalize == backend.None {
		return arrays.HasElement(&r.b, expr, col, m.Values), nil
	}
	const each = "lethe_element"
	test, err := r.normalized(each, arrays.ElementColumn(col), m)
	return arrays.AnyElement(expr, each, test), err
}

// contains is true where the text of a column has one of the values as a word.
func (r *resolver) contains(expr string, col *Column, m *backend.IdentityMatch) (string, error) {
	words := make([]string, len(m.Values))
	for i, v := range m.Values {
		if m.Normalize == backend.TrimLowerCase {
			v = strings.TrimSpace(v)
		}
		if strings.Trim(v, backend.WordSeparators) == "" {
			return "", &backend.RefusedError{
				Problem: fmt.Sprintf("column %q: an identity is empty or nothing but characters that separate words", m.Column),
				Remedy:  "correct the identity, or compare it with a column of its own",
			}
		}
		words[i] = v
	}
	folded, exact := []string(nil), words
	if m.Normalize != "" && m.Normalize != backend.None {
		folded, exact = split(words)
	}
	text := r.Dialect.TextOf(expr, col)
	var terms []string
	if len(exact) > 0 {
		terms = append(terms, r.Dialect.ContainsWord(&r.b, text, exact, false))
	}
	// Apart, for beside a word with other letters the Kelvin sign would be a k in those of ASCII too.
	ascii, others := folded[:0:0], folded[:0:0]
	for _, w := range folded {
		if AllASCII([]string{w}) {
			ascii = append(ascii, w)
		} else {
			others = append(others, w)
		}
	}
	for _, words := range [][]string{ascii, others} {
		if len(words) > 0 {
			terms = append(terms, r.Dialect.ContainsWord(&r.b, text, words, true))
		}
	}
	return "(" + expr + " IS NOT NULL AND " + or(terms) + ")", nil
}

// split takes out the values that folding could make equal to somebody else's: those with a letter outside ASCII whose
// lower case is inside, such as the Kelvin sign. They are compared as they are.
func split(values []string) (folded, exact []string) {
	for _, v := range values {
		if strings.ContainsFunc(v, odd) {
			exact = append(exact, v)
		} else {
			folded = append(folded, v)
		}
	}
	return folded, exact
}

// AllASCII tells whether no value has a letter outside ASCII.
func AllASCII(values []string) bool {
	for _, v := range values {
		for i := range len(v) {
			if v[i] >= 0x80 {
				return false
			}
		}
	}
	return true
}

func (r *resolver) parent(alias string, t backend.Table, m *backend.ParentMatch) (string, error) {
	p := r.index[m.Entity] // need has checked it
	if len(m.Columns) == 0 || len(m.Columns) != len(m.ParentColumns) {
		return "", &backend.RefusedError{
			Problem: fmt.Sprintf("the reference to %s needs as many columns as parent columns", m.Entity),
			Remedy:  "correct the data map",
		}
	}
	own, ownCols, err := r.columns(alias, t, m.Columns)
	if err != nil {
		return "", err
	}
	theirs, theirCols, err := r.columns(parent, r.queries[p].Table, m.ParentColumns)
	if err != nil {
		return "", err
	}
	where := ""
	if len(m.ParentConditions) > 0 {
		where = fmt.Sprintf(" WHERE %s.f%d", parent, r.test(p, m.ParentConditions)+1)
	}
	for i := range theirs {
		theirs[i] = parent + "." + reference(slices.Index(r.needed[p], m.ParentColumns[i]))
	}
	if m.Element || m.ParentElement {
		from := fmt.Sprintf("FROM %s AS %s%s", cte(p), parent, where)
		term, err := r.elements(own, ownCols, theirs, theirCols, from, m)
		if err != nil {
			return "", err
		}
		return r.conditioned(term, alias, t, m.Conditions)
	}
	var left, right []string
	for i := range own {
		children, parents := r.Dialect.Pair(own[i], ownCols[i], theirs[i], theirCols[i])
		left, right = append(left, children...), append(right, parents...)
	}
	term := fmt.Sprintf("%s IN (SELECT %s FROM %s AS %s%s)", tuple(left), strings.Join(right, ", "), cte(p), parent, where)
	return r.conditioned(term, alias, t, m.Conditions)
}

// elements is true where an element of the one array is a value of the other side.
func (r *resolver) elements(own []string, ownCols []*Column, theirs []string, theirCols []*Column, from string, m *backend.ParentMatch) (string, error) {
	if len(own) != 1 || m.Element && m.ParentElement {
		return "", errOneArray
	}
	if m.Element {
		arrays, err := r.arrays(ownCols[0])
		if err != nil {
			return "", err
		}
		return arrays.HasElementOf(own[0], ownCols[0], theirs[0], theirCols[0], from), nil
	}
	arrays, err := r.arrays(theirCols[0])
	if err != nil {
		return "", err
	}
	return arrays.InElementsOf(own[0], ownCols[0], theirs[0], theirCols[0], from), nil
}

func (r *resolver) values(alias string, t backend.Table, m *backend.ValuesMatch) (string, error) {
	exprs, cols, err := r.columns(alias, t, m.Columns)
	if err != nil {
		return "", err
	}
	for _, row := range m.Rows {
		if len(row) != len(exprs) || len(exprs) == 0 {
			return "", &backend.RefusedError{Problem: "rows of values do not have as many values as columns"}
		}
	}
	if len(m.Rows) == 0 {
		return or(nil), nil
	}
	if m.Element {
		if len(exprs) != 1 {
			return "", errOneArray
		}
		arrays, err := r.arrays(cols[0])
		if err != nil {
			return "", err
		}
		texts := make([]string, len(m.Rows))
		for i, row := range m.Rows {
			texts[i] = row[0]
		}
		return r.conditioned(arrays.HasElement(&r.b, exprs[0], cols[0], texts), alias, t, m.Conditions)
	}
	in := r.Dialect.InText
	if m.Loose {
		in = r.Dialect.InLoose
	}
	return r.conditioned(in(&r.b, exprs, cols, m.Rows), alias, t, m.Conditions)
}

func (r *resolver) conditioned(term, alias string, t backend.Table, conds []backend.Condition) (string, error) {
	if len(conds) == 0 {
		return term, nil
	}
	c, err := r.conditions(&r.b, alias, t, conds)
	if err != nil {
		return "", err
	}
	return "(" + term + " AND " + c + ")", nil
}
