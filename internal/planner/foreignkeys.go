package planner

import (
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

// checkForeignKeys looks at every constraint of one store that refers to a mapped table: none may block an erasure, and
// none may make the database delete or change what the maps do not name.
func (c *checker) checkForeignKeys(store string) {
	facts := c.stores[store]
	if facts.Schema == nil {
		return
	}
	mapped := map[backend.Table][]*entity{}
	for _, e := range c.g.entities {
		if e.spec.Store == store {
			t := facts.normal(e.table)
			mapped[t] = append(mapped[t], e)
		}
	}
	ignored := map[backend.Table]bool{}
	for _, t := range c.g.ignored {
		if t.store == store {
			ignored[facts.normal(t.table)] = true
		}
	}
	for _, info := range facts.Schema.Tables {
		from := facts.normal(info.Table)
		for _, fk := range info.ForeignKeys {
			if len(fk.RefColumns) == 0 { // REFERENCES without columns means the primary key
				if ref := facts.find(fk.References); ref != nil && len(ref.Unique) > 0 {
					fk.RefColumns = ref.Unique[0]
				}
			}
			for _, parent := range mapped[facts.normal(fk.References)] {
				c.checkReferenced(parent, from, fk)
				switch {
				case !parent.deletes():
				case len(mapped[from]) == 0:
					c.checkUnmapped(parent, from, fk, ignored[from])
				default:
					for _, child := range mapped[from] {
						c.checkCovered(child, parent, from, fk)
					}
				}
			}
		}
	}
}

// checkReferenced refuses to overwrite columns that a constraint refers to.
func (c *checker) checkReferenced(parent *entity, from backend.Table, fk backend.ForeignKey) {
	if parent.outside {
		return
	}
	for _, f := range parent.written() {
		if slices.Contains(fk.RefColumns, f.Column) {
			c.add(parent.problem(v1alpha1.ReasonForeignKeyUncovered, f.Column, "column %s of %s cannot be overwritten: constraint %s of table %s refers to it; leave it out of the fields", f.Column, parent.name, fk.Name, tableText(from)))
		}
	}
}

// checkUnmapped looks at a constraint from a table that no map names.
func (c *checker) checkUnmapped(parent *entity, from backend.Table, fk backend.ForeignKey, ignored bool) {
	where := "constraint " + fk.Name + " of table " + tableText(from) + " (" + strings.Join(fk.Columns, ", ") + ")"
	col := first(fk.Columns)
	switch fk.OnDelete {
	case backend.SetNull, backend.SetDefault:
		if !ignored {
			c.add(parent.problem(v1alpha1.ReasonForeignKeyUncovered, col, "%s would change records that no map names when %s is deleted; map the table, or list it under ignored with a reason", where, parent.name))
		}
	case backend.Cascade:
		c.add(parent.problem(v1alpha1.ReasonForeignKeyUncovered, col, "%s would delete records that no map names when %s is deleted; map the table with a Deep parent", where, parent.name))
	default:
		c.add(parent.problem(v1alpha1.ReasonForeignKeyUncovered, col, "%s would block deleting %s; map the table with a parent of the same columns", where, parent.name))
	}
}

// checkCovered looks at a constraint from one mapped table to another that is deleted from.
func (c *checker) checkCovered(child, parent *entity, from backend.Table, fk backend.ForeignKey) {
	where := "constraint " + fk.Name + " of table " + tableText(from) + " (" + strings.Join(fk.Columns, ", ") + ")"
	col := first(fk.Columns)
	uncovered := func(format string, args ...any) {
		c.add(child.problem(v1alpha1.ReasonForeignKeyUncovered, col, format, args...))
	}
	if child.outside {
		uncovered("%s refers to %s, which the scope %s deletes from, while %s is outside; add it to the scope", where, parent.name, c.g.scope, child.name)
		return
	}
	ed := covering(child, parent, fk)
	switch counted, always := counting(child, parent, fk); {
	case ed == nil && always:
	case ed == nil && counted:
		uncovered("%s refers to %s always, the RefCount reference of %s counts it only under conditions; remove the conditions", where, parent.name, parent.name)
	case ed == nil:
		uncovered("%s refers to %s, which is deleted from, and %s has no parent with the same columns; add it", where, parent.name, child.name)
	case len(ed.conditions) > 0:
		uncovered("%s refers to %s always, the reference of %s only under conditions; remove the conditions", where, parent.name, child.name)
	case ed.leads() && child.deletes(), !ed.leads():
		if fk.OnDelete == backend.Cascade && ed.leads() {
			c.warnings = append(c.warnings, child.problem(v1alpha1.ReasonForeignKeyUncovered, col, "%s deletes by itself what is inserted while an erasure runs; ON DELETE NO ACTION would let Lethe see it", where))
		}
		if !ed.leads() && fk.OnDelete == backend.Cascade {
			c.warnings = append(c.warnings, child.problem(v1alpha1.ReasonForeignKeyUncovered, col, "%s would delete records that refer to %s only in passing, should one be inserted while an erasure runs; use ON DELETE SET NULL", where, parent.name))
		}
	case child.updates() && len(child.nulled(ed)) > 0 && (!child.final() || ed.sameStore()):
	case child.updates():
		uncovered("%s would block deleting %s, for %s keeps its link; set the columns to NULL in fields, or make the reference Shallow", where, parent.name, child.name)
	default:
		uncovered("%s would block deleting %s, for %s is kept with its link; make the reference Shallow, or keep %s too", where, parent.name, child.name, parent.name)
	}
}

// covering is the reference of the child to the parent with the columns of the constraint; one without conditions first.
func covering(child, parent *entity, fk backend.ForeignKey) *edge {
	var found *edge
	for _, ed := range child.edges {
		if ed.parent == parent && samePairs(ed.columns, ed.parentColumns, fk.Columns, fk.RefColumns) && (found == nil || len(ed.conditions) == 0) {
			found = ed
		}
	}
	return found
}

// counting tells whether the parent goes only when none of the child's records refers to it by the constraint's columns:
// some of them, or always all of them.
func counting(child, parent *entity, fk backend.ForeignKey) (counted, always bool) {
	for _, ed := range parent.edges {
		if ed.shared && ed.parent == child && samePairs(ed.parentColumns, ed.columns, fk.Columns, fk.RefColumns) {
			counted, always = true, always || len(ed.conditions) == 0
		}
	}
	return counted, always
}

func samePairs(columns, parents, fkColumns, fkParents []string) bool {
	if len(columns) != len(fkColumns) || len(fkColumns) != len(fkParents) {
		return false
	}
	for i, c := range columns {
		j := slices.Index(fkColumns, c)
		if j < 0 || fkParents[j] != parents[i] {
			return false
		}
	}
	return true
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}
