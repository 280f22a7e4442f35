package mapgen

import (
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/internal/planner"
)

// findOpen finds the tables that no foreign key connects with the subject and that may have data of the subject all the
// same: by their columns, by references that no constraint backs, or because they belong to such a table.
func (g *generator) findOpen() {
	g.open = map[*table]string{}
	for _, t := range g.tables {
		switch columns := personal(t, true); {
		case t.depth >= 0:
		case len(personal(t, false)) > 0 || t.referred == 0 && len(columns) > 0 && !furnishes(t):
			g.open[t] = "it has columns that look like personal data: " + shown(columns...)
		case len(polymorphic(t)) > 0:
			g.open[t] = "it has a reference that may be to the subject"
		case g.holdsFiles(t) && len(g.sharers(t)) > 0:
			g.open[t] = "records of the subject refer to it, and it could go with the last that does"
		}
	}
	for changed := true; changed; {
		changed = false
		for _, t := range g.tables {
			if k := g.belongs(t); t.depth < 0 && g.open[t] == "" && k != nil {
				g.open[t], changed = "it belongs to "+shown(g.label(k.to))+", which may have data of the subject", true
			}
		}
	}
}

// furnishes tells whether the makers of the system fill the table, not its subjects.
func furnishes(t *table) bool {
	return slices.ContainsFunc(planner.Tokens(t.Table.Name), func(w string) bool { return furniture[w] })
}

// holdsFiles tells whether a table has what several subjects could share: documents, not look-ups.
func (g *generator) holdsFiles(t *table) bool {
	return slices.Contains([]string{"documents", "resume", "recordings"}, category(t, false)) || len(files(t)) > 0
}

// sharers are the references of the map's entities to a table that is none.
func (g *generator) sharers(t *table) []parent {
	var list []parent
	for _, from := range g.tables {
		for _, k := range from.keys {
			if k.to == t && from.depth >= 0 && !k.actor {
				list = append(list, parent{foreignKey: reverse(k, from), relation: "RefCount"})
			}
		}
	}
	return list
}

// reverse is the reference as the table that is referred to writes it.
func reverse(k foreignKey, from *table) foreignKey {
	back := foreignKey{to: from}
	for i, c := range k.Columns {
		back.Columns, back.RefColumns = append(back.Columns, k.refColumn(i)), append(back.RefColumns, c)
	}
	return back
}

// belongs finds a reference by which a table belongs to an open one. To people who act much refers that is not theirs.
func (g *generator) belongs(t *table) *foreignKey {
	for i, k := range t.keys {
		if k.to != t && g.open[k.to] != "" && !k.actor && !k.weak() && !g.acts(k.to) {
			return &t.keys[i]
		}
	}
	return nil
}

// acts tells whether others refer to a table's records as to somebody who acted.
func (g *generator) acts(to *table) bool {
	return slices.ContainsFunc(g.tables, func(t *table) bool {
		return slices.ContainsFunc(t.keys, func(k foreignKey) bool { return k.to == to && k.actor })
	})
}

// undecided writes the open tables as comments.
func (g *generator) undecided(w *writer) {
	for _, t := range g.tables {
		if g.open[t] == "" {
			continue
		}
		w.line(0, "")
		w.comment(4, "DECIDE: no foreign key leads from %s to the subject, but", shown(g.label(t)))
		w.comment(4, "%s.", g.open[t])
		if g.acts(t) {
			w.comment(4, "Other tables refer to it as to somebody who acts: are these the subjects, or people who work with them?")
		}
		w.comment(4, "Map it, or list it under ignored. It would begin like this:")
		var block writer
		block.line(0, "- name: %s", t.name)
		g.head(&block, t)
		g.identities(&block, t)
		g.openParents(&block, t)
		g.polymorphic(&block, t)
		g.hints(&block, t)
		for line := range strings.Lines(block.String()) {
			w.comment(4, "%s", strings.TrimPrefix(strings.TrimRight(line, "\n"), "    "))
		}
	}
}

// openParents writes what an open table belongs to, and what counts its records.
func (g *generator) openParents(w *writer, t *table) {
	var list []parent
	for _, k := range t.keys {
		switch {
		case k.to == t && k.nullable:
			list = append(list, parent{foreignKey: k, relation: "Shallow"})
		case k.to != t && g.open[k.to] != "" && !k.actor && !k.weak() && !g.acts(k.to):
			list = append(list, parent{foreignKey: k, relation: "Deep"})
		}
	}
	if g.holdsFiles(t) {
		list = append(list, g.sharers(t)...)
	}
	if len(list) > 0 {
		w.line(6, "parents:")
	}
	for _, p := range list {
		p.write(w)
	}
}

// shares tells whether a column tells apart companies which share the tables: where the root has such a column, it is one of
// that name.
func (g *generator) shares(t *table, column string) bool {
	tenant := func(name string) bool {
		return slices.ContainsFunc(planner.Tokens(name), func(w string) bool { return tenants[w] })
	}
	if t == g.root || !tenant(column) {
		return tenant(column)
	}
	named := ""
	for _, c := range g.root.Columns {
		if tenant(c.Name) {
			if c.Name == column {
				return true
			}
			named = c.Name
		}
	}
	return named == ""
}

// files are the columns that could name a file.
func files(t *table) []string {
	var list []string
	for _, c := range t.Columns {
		if fileName.MatchString(c.Name) && textual.MatchString(c.Type) {
			list = append(list, c.Name)
		}
	}
	return list
}
