package sql

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/lethe-dev/lethe/internal/backend"
)

// The aliases of a query's own table, of its table in one branch of several matches, and of a parent.
const (
	self   = "t"
	branch = "u"
	parent = "p"
)

// Resolve makes one statement for each query, in their order. Its columns are the key, Columns, Clocks and Flags.
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

// references are the columns of a parent that its children refer to, under the names that parent gives them.
func (r *resolver) references(p int) ([]string, error) {
	exprs, _, err := r.columns(self, r.queries[p].Table, r.needed[p])
	if err != nil {
		return nil, err
	}
	return named(exprs, numbered("r", len(exprs))), nil
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
	where, err := r.where(q, table)
	if err != nil {
		return Statement{}, err
	}
	// The limit stands outside of what finds the rows: else it tempts planners, who do not know its value, to walk through
	// whole tables in the hope to have found enough soon.
	values, keys := numbered("v", len(list)), numbered("k", len(order))
	text := fmt.Sprintf("%slethe_found AS MATERIALIZED (SELECT %s FROM %s AS %s WHERE %s) SELECT %s FROM lethe_found ORDER BY %s LIMIT %s",
		with, strings.Join(append(named(list, values), named(order, keys)...), ", "), table, self, where,
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
	return list, exprs[:len(q.KeyColumns)], nil
}

// with defines a common table expression for every parent, so that the text grows with their number and not with the
// number of ways that lead to them.
func (r *resolver) with(i int) (string, error) {
	r.needed = map[int][]string{}
	if err := r.need(i, map[int]bool{}); err != nil {
		return "", err
	}
	var ctes []string
	for p := range i {
		if _, ok := r.needed[p]; !ok {
			continue
		}
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
		ctes = append(ctes, fmt.Sprintf("%s AS (SELECT %s FROM %s AS %s WHERE %s)",
			cte(p), strings.Join(exprs, ", "), table, self, where))
	}
	return "WITH " + strings.Join(append(ctes, ""), ", "), nil
}

func cte(i int) string { return fmt.Sprintf("lethe_%d", i) }

func (r *resolver) need(i int, seen map[int]bool) error {
	if seen[i] {
		return nil
	}
	seen[i] = true
	for _, m := range r.queries[i].AnyOf {
		if m.Parent == nil {
			continue
		}
		p, ok := r.index[m.Parent.Entity]
		if !ok || p >= i {
			return &backend.RefusedError{
				Problem: fmt.Sprintf("its parent %s is not an earlier query", m.Parent.Entity),
			}
		}
		for _, n := range m.Parent.ParentColumns {
			if !slices.Contains(r.needed[p], n) {
				r.needed[p] = append(r.needed[p], n)
			}
		}
		if err := r.need(p, seen); err != nil {
			return err
		}
	}
	return nil
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
		terms[i] = fmt.Sprintf("SELECT %s FROM %s AS %s WHERE %s", strings.Join(keys, ", "), table, branch, term)
	}
	own, _, err := r.columns(self, q.Table, q.KeyColumns)
	if err != nil {
		return "", err
	}
	return tuple(own) + " IN (" + strings.Join(terms, " UNION ") + ")", nil
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
	switch m.Normalize {
	case "", backend.None:
		return r.Dialect.InText(&r.b, []string{expr}, []*Column{col}, asRows(m.Values)), nil
	case backend.LowerCase, backend.TrimLowerCase:
	default:
		return "", &backend.RefusedError{
			Problem: fmt.Sprintf("column %q: unknown normalization %q", m.Column, m.Normalize),
			Remedy:  "use None, LowerCase or TrimLowerCase",
		}
	}
	folded, exact := split(m.Values)
	var terms []string
	if len(exact) > 0 {
		terms = append(terms, r.Dialect.InText(&r.b, []string{expr}, []*Column{col}, asRows(exact)))
	}
	if len(folded) > 0 {
		ascii := allASCII(folded)
		text := r.Dialect.TextOf(expr, col)
		term := r.Dialect.InFolded(&r.b, r.Dialect.Fold(text, m.Normalize, ascii), folded, m.Normalize, ascii)
		if exact := r.Dialect.FoldExact(text, m.Normalize, ascii); exact != "" {
			term = "(" + term + " AND " + exact + ")"
		}
		terms = append(terms, term)
	}
	return or(terms), nil
}

// split takes out the values that folding could make equal to somebody else's: those with a letter outside ASCII whose
// lower case is inside, such as the Kelvin sign. They are compared as they are.
func split(values []string) (folded, exact []string) {
	for _, v := range values {
		if strings.ContainsFunc(v, func(r rune) bool { return r > unicode.MaxASCII && unicode.ToLower(r) <= unicode.MaxASCII }) {
			exact = append(exact, v)
		} else {
			folded = append(folded, v)
		}
	}
	return folded, exact
}

func allASCII(values []string) bool {
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
	for i := range own {
		theirs[i] = parent + "." + reference(slices.Index(r.needed[p], m.ParentColumns[i]))
		own[i], theirs[i] = r.Dialect.Pair(own[i], ownCols[i], theirs[i], theirCols[i])
	}
	term := fmt.Sprintf("%s IN (SELECT %s FROM %s AS %s)", tuple(own), strings.Join(theirs, ", "), cte(p), parent)
	return r.conditioned(term, alias, t, m.Conditions)
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
	return r.conditioned(r.Dialect.InText(&r.b, exprs, cols, m.Rows), alias, t, m.Conditions)
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
