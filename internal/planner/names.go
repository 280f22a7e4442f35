package planner

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

// Values that people choose can make a template name what the record of somebody else names: {folder}/{file} says the
// same for a/b and c as for a and b/c, and all that begins with avatars/ann- may begin with avatars/ann-marie-, too. So
// each name that was found is read backwards, by every template for its store, and the tables are asked for records with
// the values that it can be read as. If one of them is not the subject's, nothing is planned.

// maxReadings of one name by one template, and maxSteps to find them: more are a problem by themselves.
const (
	maxReadings = 1000
	maxSteps    = 100_000
)

// tokenKind tells the parts of a template apart as names are read.
type tokenKind int

const (
	tokenLiteral tokenKind = iota
	tokenColumn
	tokenOne  // any byte
	tokenMany // any bytes, or none
)

type token struct {
	kind   tokenKind
	text   string
	column int
}

// distinct lists the columns of the reference, each once.
func (r reference) distinct() []string {
	var columns []string
	for _, c := range r.columns() {
		if !slices.Contains(columns, c) {
			columns = append(columns, c)
		}
	}
	return columns
}

// tokens of the template, with the member's behind a NUL.
func (r reference) tokens() []token {
	var out []token
	columns := r.distinct()
	add := func(t template, glob bool) {
		for _, p := range t {
			switch {
			case p.column:
				out = append(out, token{kind: tokenColumn, column: slices.Index(columns, p.text)})
			case glob:
				out = append(out, globTokens(p.text)...)
			default:
				out = append(out, token{text: p.text})
			}
		}
	}
	add(r.path, r.kind == backend.KeyPattern)
	if len(r.member) > 0 {
		out = append(out, token{text: "\x00"})
		add(r.member, false)
	}
	if r.kind == backend.Prefix {
		out = append(out, token{kind: tokenMany})
	}
	return out
}

// globTokens reads a pattern of Redis. A class counts as any byte.
func globTokens(s string) []token {
	var out []token
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '*':
			out = append(out, token{kind: tokenMany})
			continue
		case '?':
			out = append(out, token{kind: tokenOne})
			continue
		case '[':
			for i++; i < len(s) && s[i] != ']'; i++ {
				if s[i] == '\\' {
					i++
				}
			}
			out = append(out, token{kind: tokenOne})
			continue
		case '\\':
			if i+1 < len(s) {
				i++
			}
		}
		out = append(out, token{text: s[i : i+1]})
	}
	return out
}

// nameOf is a path in the form that readings are made of.
func nameOf(p backend.Path) string {
	if p.Member == "" {
		return p.Path
	}
	return p.Path + "\x00" + p.Member
}

// readings are the values of the distinct columns with which the template names the same; false means that there are too many to
// tell.
func (r reference) readings(name string) ([][]string, bool) {
	ways := [][]token{r.tokens()}
	if r.kind == backend.Directory {
		name = strings.TrimSuffix(name, "/")
		ways = append(ways, append(slices.Clone(ways[0]), token{text: "/"}, token{kind: tokenMany}))
	}
	seen := map[string]bool{}
	var out [][]string
	for _, tokens := range ways {
		reader := reader{tokens: tokens, name: name, values: make([]string, len(r.distinct()))}
		reader.read(0, 0)
		for _, values := range reader.found {
			if id := tuple(values); !seen[id] {
				seen[id] = true
				out = append(out, values)
			}
		}
		if reader.steps > maxSteps || len(out) > maxReadings {
			return nil, false
		}
	}
	return out, true
}

// reader tries all ways to read a name.
type reader struct {
	tokens []token
	name   string
	values []string
	found  [][]string
	steps  int
}

func (r *reader) read(t, at int) {
	if r.steps++; r.steps > maxSteps {
		return
	}
	if t == len(r.tokens) {
		if at == len(r.name) && !slices.ContainsFunc(r.values, func(v string) bool { return !utf8.ValidString(v) || strings.ContainsRune(v, 0) }) {
			r.found = append(r.found, slices.Clone(r.values))
		}
		return
	}
	switch tok := r.tokens[t]; tok.kind {
	case tokenLiteral:
		if strings.HasPrefix(r.name[at:], tok.text) {
			r.read(t+1, at+len(tok.text))
		}
	case tokenOne:
		if at < len(r.name) {
			r.read(t+1, at+1)
		}
	case tokenMany:
		if t+1 == len(r.tokens) {
			at = len(r.name)
		}
		for ; at <= len(r.name); at++ {
			r.read(t+1, at)
		}
	case tokenColumn:
		if v := r.values[tok.column]; v != "" { // the column stands there twice
			if strings.HasPrefix(r.name[at:], v) {
				r.read(t+1, at+len(v))
			}
			return
		}
		for end := at + 1; end <= len(r.name); end++ {
			r.values[tok.column] = r.name[at:end]
			r.read(t+1, end)
		}
		r.values[tok.column] = ""
	}
}

// alike tells whether two references can name the same.
func (r reference) alike(o reference) bool {
	class := func(k backend.PathKind) backend.PathKind {
		if k == backend.Directory || k == backend.Prefix || k == "" {
			return backend.File
		}
		return k
	}
	if r.store != o.store || class(r.kind) != class(o.kind) {
		return false
	}
	return r.kind != backend.Resource || r.member[0].text == o.member[0].text
}

// doubt is what a query for other readings is about.
type doubt struct {
	e   *entity
	ref reference
	// wanted has, by the values that are looked for, what the subject's record names.
	wanted map[string]named
}

// named is a reference of a record of the subject, with its problem if somebody else's record names the same.
type named struct {
	problem Problem
	values  []string
}

// askNames asks the tables whether records with other values name what was found.
func (r *Resolver) askNames() {
	r.doubts = map[string]*doubt{}
	for _, e := range r.g.entities {
		if e.outside || e.spec.Action == v1alpha1.ActionKeep {
			continue
		}
		for i, ref := range e.references {
			names := r.names(fileQuery(e, i))
			for _, o := range r.g.entities {
				for j, other := range o.references {
					if len(names) > 0 && ref.alike(other) {
						r.doubt(e, ref, names, o, j)
					}
				}
			}
		}
	}
	for _, query := range sortedKeys(r.doubts) {
		d := r.doubts[query]
		var rows [][]string
		for _, id := range sortedKeys(d.wanted) {
			rows = append(rows, d.wanted[id].values)
		}
		columns := d.ref.distinct()
		r.ask(d.e.spec.Store, backend.Query{Entity: query, Table: d.e.table, KeyColumns: d.e.spec.Key, Columns: columns,
			AnyOf: []backend.Match{{Values: &backend.ValuesMatch{Columns: columns, Rows: rows, Loose: true}}}})
	}
}

// names that a query of paths found.
func (r *Resolver) names(query string) []string {
	seen := map[string]bool{}
	for _, row := range r.rows[query] {
		for _, at := range row.Paths {
			switch p := r.paths[query][at]; p.Kind {
			case backend.Directory, backend.Prefix, backend.KeyPattern:
				seen[row.Name] = true
			default:
				seen[nameOf(p)] = true
			}
		}
	}
	return sortedKeys(seen)
}

// doubt notes as what the names can be read by a reference, but for what the subject's own records hold.
func (r *Resolver) doubt(e *entity, ref reference, names []string, o *entity, at int) {
	other := o.references[at]
	own := r.ownValues(o, other)
	query := o.name + "#name" + strconv.Itoa(at)
	for _, name := range names {
		readings, ok := other.readings(name)
		if !ok {
			r.problems = append(r.problems, e.problem(v1alpha1.ReasonNameAmbiguous, "",
				"%s %q of %s: a name can be read by the template %q of %s in too many ways to tell whose it is; use columns whose values are shorter, or other characters between them",
				ref.field, ref.text, e.name, other.text, o.name))
			continue
		}
		for _, values := range readings {
			if own[tuple(values)] {
				continue
			}
			if r.doubts[query] == nil {
				r.doubts[query] = &doubt{e: o, ref: other, wanted: map[string]named{}}
			}
			if _, known := r.doubts[query].wanted[tuple(values)]; !known {
				r.doubts[query].wanted[tuple(values)] = named{values: values, problem: ambiguous(e, ref, o, other)}
			}
		}
	}
}

func ambiguous(e *entity, ref reference, o *entity, other reference) Problem {
	columns := other.distinct()
	if e == o && ref.text == other.text {
		return e.problem(v1alpha1.ReasonNameAmbiguous, columns[len(columns)-1],
			"%s %q of %s: a record of the subject and one of somebody else name the same, because a value of column %s holds what stands beside it in the template; change the value in one of the records, "+
				"or use columns whose values cannot hold it, such as the key", ref.field, ref.text, e.name, strings.Join(columns, " or "))
	}
	return e.problem(v1alpha1.ReasonNameAmbiguous, first(columns),
		"%s %q of %s: what a record of the subject names is named by a record of somebody else too, by %q of %s (%s); change one of the records, or a template",
		ref.field, ref.text, e.name, other.text, o.name, strings.Join(columns, ", "))
}

// ownValues are those of the subject's records.
func (r *Resolver) ownValues(e *entity, ref reference) map[string]bool {
	own := map[string]bool{}
	for _, row := range r.knownRows(e) {
		if texts, ok := r.texts(e, &row, ref.distinct()); ok {
			own[tuple(texts)] = true
		}
	}
	return own
}

// nameProblems are the names that records of others have too.
func (r *Resolver) nameProblems() []Problem {
	var problems []Problem
	for _, query := range sortedKeys(r.doubts) {
		d := r.doubts[query]
		mine := r.keysOf(d.e)
		columns := d.ref.distinct()
		for _, row := range r.rows[query] {
			texts := make([]string, len(columns))
			for i := range columns {
				if i < len(row.Values) {
					texts[i] = r.opts.text(d.e.spec.Store, row.Values[i])
				}
			}
			if n, ok := d.wanted[tuple(texts)]; ok && !mine[keyID(row.Key)] {
				problems = append(problems, n.problem)
			}
		}
	}
	return problems
}

// keysOf are the keys of the subject's records in the entity's table.
func (r *Resolver) keysOf(e *entity) map[string]bool {
	keys := map[string]bool{}
	for _, o := range r.g.entities {
		if o.spec.Store == e.spec.Store && o.table == e.table {
			for _, row := range r.knownRows(o) {
				keys[keyID(row.Key)] = true
			}
		}
	}
	return keys
}
