package mapgen

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/planner"
)

// writer writes YAML line by line, because comments are half of it.
type writer struct{ bytes.Buffer }

func (w *writer) line(indent int, format string, args ...any) {
	fmt.Fprintf(w, "%s%s\n", strings.Repeat(" ", indent), fmt.Sprintf(format, args...))
}

func (w *writer) comment(indent int, format string, args ...any) {
	w.line(indent, "# "+format, args...)
}

var plain = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// scalar writes a text so that YAML reads it as a text.
func scalar(s string) string {
	switch strings.ToLower(s) {
	case "null", "true", "false", "yes", "no", "on", "off", "y", "n":
	default:
		if plain.MatchString(s) {
			return s
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a text always has a JSON form, and JSON is YAML
	return strings.TrimSuffix(b.String(), "\n")
}

func list(names []string) string {
	var out []string
	for _, n := range names {
		out = append(out, scalar(n))
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// shown is a name inside a comment: a line break would end it.
func shown(names ...string) string {
	return strings.NewReplacer("\n", " ", "\r", " ").Replace(strings.Join(names, ", "))
}

func (g *generator) write(w *writer) {
	entities := g.entities()
	w.comment(0, "A first PersonalDataMap, written from the schema of the store %s.", g.in.Store)
	w.comment(0, "It goes by foreign keys, names and types: no row was read. Before you apply it, decide on every action, every relation")
	w.comment(0, "and every line that says DECIDE, and check it with lethe validate. What it deletes is deleted.")
	w.line(0, "apiVersion: privacy.lethe.dev/v1alpha1")
	w.line(0, "kind: PersonalDataMap")
	w.line(0, "metadata:")
	w.line(2, "name: %s", scalar(g.in.Name))
	if g.in.Namespace != "" {
		w.line(2, "namespace: %s", scalar(g.in.Namespace))
	}
	w.line(0, "spec:")
	if len(entities) > maxEntities {
		w.comment(2, "DECIDE: these are %d entities, a map has at most %d: spread them over several maps.", len(entities), maxEntities)
	}
	w.line(2, "entities:")
	for _, t := range entities {
		g.entity(w, t)
	}
	g.undecided(w)
	g.ignored(w)
}

func (g *generator) entity(w *writer, t *table) {
	w.line(0, "")
	switch {
	case t == g.root:
		w.comment(4, "The subject itself.")
	case t.passing:
		w.comment(4, "DECIDE: it is tied to the subject and not the subject's, it seems. It stays, only the link goes.")
	case g.joins(t):
		w.comment(4, "It joins tables.")
	}
	w.line(4, "- name: %s", t.name)
	g.head(w, t)
	g.identities(w, t)
	g.references(w, t)
	g.hints(w, t)
}

// joins tells whether the key consists of references to several tables.
func (g *generator) joins(t *table) bool {
	n := 0
	for _, k := range t.keys {
		if !slices.ContainsFunc(k.Columns, func(c string) bool { return !slices.Contains(key(t), c) }) {
			n++
		}
	}
	return n > 1
}

func (g *generator) head(w *writer, t *table) {
	w.line(6, "store: %s", scalar(g.in.Store))
	if n := g.normal(t.Table); n.Schema != g.in.DefaultSchema {
		w.line(6, "schema: %s", scalar(n.Schema))
	}
	w.line(6, "table: %s", scalar(t.Table.Name))
	k := key(t)
	switch {
	case len(k) == 0:
		w.comment(6, "DECIDE: the table has no primary key and no unique index; give it one and name its columns here.")
		k = []string{t.Columns[0].Name}
	case slices.ContainsFunc(k, func(c string) bool { return nullable(t.TableInfo, c) }):
		w.comment(6, "DECIDE: the key may be NULL; declare its columns NOT NULL.")
	}
	w.line(6, "key: %s", list(k))
	w.line(6, "category: %s", category(t, t == g.root))
	if t.passing {
		w.line(6, "action: Keep")
		w.line(6, "legalBasis: %s", scalar("DECIDE: not about the subject, it seems; only the link to it is cut"))
		return
	}
	w.line(6, "action: Delete")
	if t == g.root {
		w.line(6, "root:")
		w.line(8, "rows: One")
	}
}

// identities writes the columns that seem to hold the subject's identities.
func (g *generator) identities(w *writer, t *table) {
	var mails, others []backend.ColumnInfo
	for _, c := range columnsOf(t, planner.KindEmail) {
		if t.passing || actor(c.Name) && t != g.root {
			others = append(others, c)
		} else {
			mails = append(mails, c)
		}
	}
	if t == g.root || len(mails) > 0 || g.byPhone(t) {
		w.line(6, "identifiedBy:")
	}
	if t == g.root {
		w.line(8, "- column: %s", scalar(g.in.RootID))
		w.line(10, "identity: id")
	} else if len(mails) > 0 {
		w.comment(8, "DECIDE: deletes every record with the subject's address here. A list of addresses needs comparison: Contains.")
	}
	for _, c := range mails {
		w.line(8, "- column: %s", scalar(c.Name))
		w.line(10, "identity: email")
		w.line(10, "normalize: LowerCase")
		if lists[strings.ToLower(c.Name)] {
			w.line(10, "comparison: Contains")
		}
	}
	if g.byPhone(t) {
		for _, c := range columnsOf(t, planner.KindPhone) {
			w.line(8, "- column: %s", scalar(c.Name))
			w.line(10, "identity: phone")
		}
	}
	for _, c := range others {
		whose := "somebody who acted"
		if t.passing {
			whose = "somebody else"
		}
		w.comment(6, "an address of %s, it seems, by which nothing is looked for: %s", whose, shown(c.Name))
	}
	if t == g.root {
		for _, c := range columnsOf(t, planner.KindPhone) {
			w.comment(6, "could be an identity too, if other tables have it without a reference: %s", shown(c.Name))
		}
	}
}

// byPhone tells whether nothing but a number could find the records of an open table.
func (g *generator) byPhone(t *table) bool {
	return g.open[t] != "" && len(columnsOf(t, planner.KindPhone)) > 0 && len(columnsOf(t, planner.KindEmail)) == 0 && g.belongs(t) == nil
}

func (g *generator) references(w *writer, t *table) {
	parents := g.parents(t)
	if len(parents) > 0 {
		w.line(6, "parents:")
	}
	for _, p := range parents {
		if p.note != "" {
			w.comment(8, "%s: %s", shown(p.Columns...), p.note)
		}
		p.write(w)
	}
	g.polymorphic(w, t)
}

func (p *parent) write(w *writer) {
	var pairs []string
	for i, c := range p.Columns {
		pairs = append(pairs, fmt.Sprintf("{column: %s, parentColumn: %s}", scalar(c), scalar(p.refColumn(i))))
	}
	w.line(8, "- entity: %s", p.to.name)
	w.line(10, "columns: [%s]", strings.Join(pairs, ", "))
	w.line(10, "relation: %s", p.relation)
}

// refColumn is what the reference's column refers to; a reference that names none means the primary key.
func (k foreignKey) refColumn(i int) string {
	if i < len(k.RefColumns) {
		return k.RefColumns[i]
	}
	if pk := key(k.to); i < len(pk) {
		return pk[i]
	}
	return "DECIDE"
}

func (g *generator) polymorphic(w *writer, t *table) {
	for _, pair := range polymorphic(t) {
		w.comment(6, "DECIDE: %s says to which table %s refers. For each value that means a table of this map a parent,", shown(pair[0]), shown(pair[1]))
		w.comment(6, "with the value as the application writes it:")
		w.comment(6, "  - entity: %s", g.root.name)
		w.comment(6, "    columns: [{column: %s, parentColumn: %s}]", shown(scalar(pair[1])), shown(scalar(g.item())))
		w.comment(6, "    conditions: [{column: %s, operator: In, values: [%s]}]", shown(scalar(pair[0])), g.root.name)
		w.comment(6, "    relation: Deep")
	}
}

// item is the column of the root that polymorphic references name.
func (g *generator) item() string {
	if k := key(g.root); len(k) > 0 {
		return k[len(k)-1] // of a key with a tenant the last
	}
	return g.in.RootID
}

// hints are comments on what only a person knows.
func (g *generator) hints(w *writer, t *table) {
	var states, shares []string
	byIdentity := t == g.root || len(columnsOf(t, planner.KindEmail)) > 0 || g.byPhone(t)
	for _, c := range t.Columns {
		tokens := planner.Tokens(c.Name)
		switch {
		case len(tokens) > 0 && stateName[tokens[len(tokens)-1]]:
			states = append(states, c.Name)
		case byIdentity && g.shares(t, c.Name):
			shares = append(shares, c.Name)
		}
	}
	for _, c := range shares {
		w.comment(6, "DECIDE: if several companies share the table, keep the others out of reach:")
		w.comment(6, "  conditions: [{column: %s, operator: In, values: [YOURS]}]", shown(scalar(c)))
	}
	if names := files(t); len(names) > 0 {
		var path []string
		for _, f := range names {
			path = append(path, "{"+shown(f)+"}")
		}
		w.comment(6, "DECIDE: %s may name a file or an object.", shown(names...))
		w.comment(6, "What is named so goes with the record:")
		w.comment(6, "  files: [{store: STORE-OF-FILES, path: %q}]", strings.Join(path, "/"))
	}
	if len(states) > 0 && !t.passing {
		w.comment(6, "activeWhen could look at: %s", shown(states...))
	}
	if !t.passing && slices.ContainsFunc(planner.Tokens(t.Table.Name), func(w string) bool { return lawful[w] }) {
		w.comment(6, "DECIDE: does a law want it kept? Then action: Keep with its legalBasis, or holds.")
	}
	if c := clocks(t); len(c) > 0 {
		w.comment(6, "clocks for holds and retention: %s", shown(c...))
	}
}

func (g *generator) ignored(w *writer) {
	list := slices.DeleteFunc(slices.Clone(g.tables), func(t *table) bool { return t.depth >= 0 || g.open[t] != "" })
	if len(list) == 0 {
		return
	}
	w.line(0, "")
	w.comment(2, "Tables without personal data, as it seems: check each.")
	if len(list) > maxIgnored {
		w.comment(2, "DECIDE: these are %d tables; a map lists at most %d.", len(list), maxIgnored)
	}
	w.line(2, "ignored:")
	for _, t := range list {
		w.line(4, "- store: %s", scalar(g.in.Store))
		if n := g.normal(t.Table); n.Schema != g.in.DefaultSchema {
			w.line(6, "schema: %s", scalar(n.Schema))
		}
		w.line(6, "table: %s", scalar(t.Table.Name))
		reason := "no foreign key leads from the subject to it; check"
		if names := personal(t, true); len(names) > 0 {
			reason += " " + strings.Join(names, ", ")
		}
		w.line(6, "reason: %s", scalar(reason[:min(len(reason), 240)]))
	}
}
