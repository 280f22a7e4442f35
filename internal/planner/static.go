package planner

import (
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/period"
)

// checkStatic checks what the maps say without looking at a store, and fills in what is parsed from text. Much of it the
// API refuses already; it is checked again because a plan deletes.
func (c *compiler) checkStatic(g *Graph) {
	for _, e := range g.entities {
		c.checkAction(e)
		c.checkKey(e)
		c.checkFields(e)
		c.checkDeactivate(e)
		c.checkParents(e)
		c.checkConditions(e)
		c.parseHolds(e)
		c.parseReferences(e)
	}
	c.checkCycles(g)
	c.checkReachable(g)
	c.checkTables(g)
}

func (c *compiler) checkAction(e *entity) {
	switch e.spec.Action {
	case v1alpha1.ActionDelete:
		if len(e.spec.Fields) > 0 {
			c.add(e.problem(v1alpha1.ReasonInvalidSpec, "", "fields belong to the actions Anonymize and Mark; remove them or change the action"))
		}
	case v1alpha1.ActionAnonymize, v1alpha1.ActionMark:
		if len(e.spec.Fields) == 0 {
			c.add(e.problem(v1alpha1.ReasonInvalidSpec, "", "the action %s needs fields; name the columns to overwrite", e.spec.Action))
		}
	case v1alpha1.ActionKeep:
		if e.spec.LegalBasis == "" {
			c.add(e.problem(v1alpha1.ReasonInvalidSpec, "", "the action Keep needs a legalBasis"))
		}
	default:
		c.add(e.problem(v1alpha1.ReasonInvalidSpec, "", "the action %q is unknown; use Delete, Anonymize, Mark or Keep", e.spec.Action))
	}
	if e.final() && !slices.Contains([]v1alpha1.EntityAction{v1alpha1.ActionAnonymize, v1alpha1.ActionMark}, e.spec.Action) {
		c.add(e.problem(v1alpha1.ReasonInvalidSpec, "", "order Final is for the actions Anonymize and Mark; set order: Main"))
	}
	if e.spec.Pinned != nil && e.spec.Action != v1alpha1.ActionDelete {
		c.add(e.problem(v1alpha1.ReasonInvalidSpec, "", "pinned belongs to the action Delete; remove it"))
	}
	if len(e.spec.Files)+len(e.spec.Keys)+len(e.spec.Resources) > 0 && e.spec.Action == v1alpha1.ActionMark {
		c.add(e.problem(v1alpha1.ReasonInvalidSpec, "", "the action Mark changes nothing but its columns, so the files, keys and resources would stay; use Anonymize, or name them in another entity"))
	}
}

func (c *compiler) checkKey(e *entity) {
	seen := map[string]bool{}
	for _, k := range e.spec.Key {
		if k == "" || seen[k] {
			c.add(e.problem(v1alpha1.ReasonInvalidSpec, k, "key names a column twice or an empty one; name each key column once"))
		}
		seen[k] = true
	}
	if len(e.spec.Key) == 0 {
		c.add(e.problem(v1alpha1.ReasonInvalidSpec, "", "key is empty; name the columns that tell the records apart"))
	}
	if e.spec.Table == "" || e.spec.Store == "" {
		c.add(e.problem(v1alpha1.ReasonInvalidSpec, "", "store and table are needed"))
	}
}

// checkFields checks what an erasure writes.
func (c *compiler) checkFields(e *entity) {
	c.checkChanges(e, "fields", e.spec.Fields)
	if e.spec.Pinned != nil {
		c.checkChanges(e, "pinned.fields", e.spec.Pinned.Fields)
	}
	held := map[string]bool{}
	for _, h := range e.spec.Holds {
		held[h.Clock] = true
		for _, cond := range h.Conditions {
			held[cond.Column] = true
		}
	}
	for _, f := range e.written() {
		if held[f.Column] {
			c.add(e.problem(v1alpha1.ReasonInvalidSpec, f.Column, "a hold looks at column %s, which the erasure would overwrite: the hold could no longer be told; leave the column alone", f.Column))
		}
	}
	for _, ed := range e.edges {
		for _, col := range ed.unlinkColumns() {
			if held[col] {
				c.add(e.problem(v1alpha1.ReasonInvalidSpec, col, "a hold looks at column %s, which is set to NULL when its Shallow link goes: the hold could no longer be told; choose another column", col))
			}
		}
	}
	for _, d := range e.spec.Deactivate {
		if held[d.Column] {
			c.add(e.problem(v1alpha1.ReasonInvalidSpec, d.Column, "a hold looks at column %s, which deactivate would overwrite before the hold is decided; leave the column alone", d.Column))
		}
	}
}

func (c *compiler) checkChanges(e *entity, where string, fields []v1alpha1.FieldChange) {
	seen, named := map[string]bool{}, map[string]bool{}
	for _, f := range fields {
		if f.Column == "" || seen[f.Column+"\x00"+f.Path] || f.Path != "" && seen[f.Column+"\x00"] || f.Path == "" && named[f.Column] {
			c.add(e.problem(v1alpha1.ReasonInvalidSpec, f.Column, "%s names column %q twice or without a name", where, f.Column))
		}
		seen[f.Column+"\x00"+f.Path], named[f.Column] = true, true
		c.checkFingerprint(e, f)
		if slices.Contains(e.spec.Key, f.Column) {
			c.add(e.problem(v1alpha1.ReasonInvalidSpec, f.Column, "%s would overwrite key column %s: the record could no longer be found; remove it", where, f.Column))
		}
		if message := checkStrategy(f); message != "" {
			c.add(e.problem(v1alpha1.ReasonInvalidSpec, f.Column, "%s of column %s: %s", where, f.Column, message))
		}
	}
}

func checkStrategy(f v1alpha1.FieldChange) string {
	if (f.Value != nil) != (f.Strategy == v1alpha1.StrategyConstant || f.Strategy == v1alpha1.StrategyRedact) {
		return "value belongs to the strategies Constant and Redact, and both need it"
	}
	if (f.Unit != "") != (f.Strategy == v1alpha1.StrategyTruncateDate) {
		return "unit belongs to the strategy TruncateDate, and TruncateDate needs it"
	}
	if (f.Fingerprint != nil) != (f.Strategy == v1alpha1.StrategyFingerprint) {
		return "fingerprint belongs to the strategy Fingerprint, and Fingerprint needs it"
	}
	if f.Path != "" {
		if _, err := parseMemberPath(f.Path); err != nil {
			return err.Error()
		}
	}
	switch f.Strategy {
	case v1alpha1.StrategyNull, v1alpha1.StrategyConstant, v1alpha1.StrategyPseudonym, v1alpha1.StrategyHash, v1alpha1.StrategyRandom, v1alpha1.StrategyRedact:
		return ""
	case v1alpha1.StrategyRemove:
		return ""
	case v1alpha1.StrategyFingerprint:
		if f.Path != "" {
			return "a fingerprint is written to a column of its own, not to a member of a document"
		}
		return ""
	case v1alpha1.StrategyTruncateDate:
		if !slices.Contains([]v1alpha1.DateUnit{v1alpha1.UnitYear, v1alpha1.UnitMonth, v1alpha1.UnitDay}, f.Unit) {
			return "the unit must be Year, Month or Day"
		}
		return ""
	}
	return "the strategy is unknown; use Null, Constant, Pseudonym, Hash, Random, TruncateDate, Redact, Remove or Fingerprint"
}

// checkFingerprint checks that the parent of a fingerprint is one that every record has.
func (c *compiler) checkFingerprint(e *entity, f v1alpha1.FieldChange) {
	if f.Fingerprint == nil || f.Fingerprint.Parent == "" {
		return
	}
	name := qualified(e.mapName, f.Fingerprint.Parent)
	if !slices.ContainsFunc(e.edges, func(ed *edge) bool { return ed.deep && ed.parent.name == name }) {
		c.add(e.problem(v1alpha1.ReasonInvalidSpec, f.Column, "the fingerprint of column %s is made of columns of %s, which is no Deep parent of %s; name one", f.Column, name, e.name))
	}
}

// checkDeactivate refuses to overwrite what finds the record: after the grace period it must still be found.
func (c *compiler) checkDeactivate(e *entity) {
	finds := map[string]bool{}
	addAll(finds, e.spec.Key)
	for _, m := range e.spec.IdentifiedBy {
		finds[m.Column] = true
	}
	for _, cond := range e.spec.Conditions {
		finds[cond.Column] = true
	}
	for _, p := range e.spec.Parents {
		for _, pair := range p.Columns {
			finds[pair.Column] = true
		}
	}
	for _, ed := range e.edges {
		addAll(finds, columnsOf(ed.own()))
	}
	for _, ed := range e.children {
		addAll(finds, ed.parentColumns)
		if ed.shared {
			addAll(finds, columnsOf(ed.conditions))
		}
	}
	seen := map[string]bool{}
	for _, d := range e.spec.Deactivate {
		if finds[d.Column] {
			c.add(e.problem(v1alpha1.ReasonInvalidSpec, d.Column, "deactivate would overwrite column %s, by which records are found: the erasure would miss them; choose another column", d.Column))
		}
		if seen[d.Column] {
			c.add(e.problem(v1alpha1.ReasonInvalidSpec, d.Column, "deactivate names column %s twice", d.Column))
		}
		seen[d.Column] = true
	}
}

func columnsOf(list []backend.Condition) []string {
	var columns []string
	for _, c := range list {
		columns = append(columns, c.Column)
	}
	return columns
}

func (c *compiler) checkParents(e *entity) {
	for _, p := range e.spec.Parents {
		seen := map[string]bool{}
		for _, pair := range p.Columns {
			if pair.Column == "" || pair.ParentColumn == "" || seen[pair.Column] {
				c.add(e.problem(v1alpha1.ReasonInvalidSpec, pair.Column, "the columns of the reference to %s are empty or named twice", p.Entity))
			}
			seen[pair.Column] = true
		}
		if len(p.Columns) == 0 {
			c.add(e.problem(v1alpha1.ReasonInvalidSpec, "", "the reference to %s names no columns", p.Entity))
		}
		switch p.Relation {
		case v1alpha1.RelationDeep, v1alpha1.RelationShallow, v1alpha1.RelationRefCount:
		default:
			c.add(e.problem(v1alpha1.ReasonInvalidSpec, "", "the reference to %s must be Deep, Shallow or RefCount", p.Entity))
		}
	}
	c.checkEdges(e)
}

// checkEdges checks what the references of an entity mean together, and what their kinds allow.
func (c *compiler) checkEdges(e *entity) {
	for i, ed := range e.edges {
		for _, other := range e.edges[:i] {
			if ed.disagrees(other) {
				c.add(e.problem(v1alpha1.ReasonInvalidSpec, ed.columns[0], "two references to %s by the same columns (%s) disagree: one is %s, one %s; keep one of them, or give each its conditions",
					ed.parent.name, strings.Join(ed.columns, ", "), e.spec.Parents[other.index].Relation, e.spec.Parents[ed.index].Relation))
			}
		}
		if ed.element && len(ed.columns) != 1 {
			c.add(e.problem(v1alpha1.ReasonInvalidSpec, ed.columns[0], "the reference to %s by elements of an array has several columns; name the array alone, or map a table with a row for each element", ed.parent.name))
		}
		if ed.element && ed.deep && ed.parent == e {
			c.add(e.problem(v1alpha1.ReasonInvalidSpec, ed.columns[0], "%s refers to itself by elements of an array and Deep: such a tree is not followed; make it Shallow, or map a table with a row for each element", e.name))
		}
		if ed.shared && !ed.sameStore() {
			c.add(e.problem(v1alpha1.ReasonInvalidSpec, ed.columns[0], "the RefCount reference to %s leads to another store, where nothing can count it in one transaction; map both in one store, or make it Deep or Shallow", ed.parent.name))
		}
		if ed.shared && ed.parent.final() && slices.ContainsFunc(ed.parentColumns, ed.parent.nulls) {
			c.add(e.problem(v1alpha1.ReasonInvalidSpec, ed.columns[0], "%s forgets its RefCount reference only at the very end (order Final), when %s is to be gone already; give it order Main, or keep the column", ed.parent.name, e.name))
		}
		if !ed.leads() && ed.parent.deletes() && len(ed.unlinkColumns()) == 0 {
			c.add(e.problem(v1alpha1.ReasonInvalidSpec, ed.columns[0], "the Shallow reference to %s has no column of its own to set to NULL (its columns belong to the key, to conditions or to other references); make it Deep", ed.parent.name))
		}
	}
}

// disagrees tells whether two references of an entity say different things of the same records.
func (ed *edge) disagrees(other *edge) bool {
	return ed.parent == other.parent && (ed.deep != other.deep || ed.shared != other.shared) &&
		slices.Equal(ed.columns, other.columns) && slices.Equal(ed.parentColumns, other.parentColumns) &&
		(len(ed.conditions) == 0 || len(other.conditions) == 0 || sameConditions(ed.conditions, other.conditions))
}

// checkConditions checks every condition of the entity.
func (c *compiler) checkConditions(e *entity) {
	lists := [][]v1alpha1.Condition{e.spec.Conditions, e.spec.ActiveWhen}
	for _, p := range e.spec.Parents {
		lists = append(lists, p.Conditions)
	}
	for _, h := range e.spec.Holds {
		lists = append(lists, h.Conditions)
	}
	for _, cond := range slices.Concat(lists...) {
		if !ValidCondition(cond) {
			c.add(e.problem(v1alpha1.ReasonInvalidSpec, cond.Column, "a condition on column %q with operator %q is not valid: In and NotIn need values, LessThan and GreaterThan one, Exists and DoesNotExist none", cond.Column, cond.Operator))
		}
	}
}

// ValidCondition tells whether a condition has a column and as many values as its operator compares with.
func ValidCondition(cond v1alpha1.Condition) bool {
	if cond.Column == "" {
		return false
	}
	switch cond.Operator {
	case v1alpha1.OperatorIn, v1alpha1.OperatorNotIn:
		return len(cond.Values) > 0
	case v1alpha1.OperatorLessThan, v1alpha1.OperatorGreaterThan:
		return len(cond.Values) == 1
	case v1alpha1.OperatorExists, v1alpha1.OperatorDoesNotExist:
		return len(cond.Values) == 0
	}
	return false
}

func (c *compiler) parseHolds(e *entity) {
	for _, spec := range e.spec.Holds {
		p, err := period.Parse(spec.Period)
		if err != nil {
			c.add(e.problem(v1alpha1.ReasonInvalidSpec, "", "hold %s: %s", spec.Name, err.Error()))
		}
		if spec.Clock == "" || spec.LegalBasis == "" {
			c.add(e.problem(v1alpha1.ReasonInvalidSpec, "", "hold %s needs a clock and a legalBasis", spec.Name))
		}
		e.holds = append(e.holds, hold{spec: spec, period: p, conditions: conditions(spec.Conditions)})
	}
	if len(e.holds) > 32 {
		c.add(e.problem(v1alpha1.ReasonInvalidSpec, "", "at most 32 holds"))
	}
}

// checkReachable reports entities whose records nothing leads to.
func (c *compiler) checkReachable(g *Graph) {
	reached := map[*entity]bool{}
	var reach func(e *entity)
	reach = func(e *entity) {
		if reached[e] {
			return
		}
		reached[e] = true
		for _, ed := range e.children {
			// A Keep entity may be reached through its link alone.
			if ed.leads() || ed.child.spec.Action == v1alpha1.ActionKeep {
				reach(ed.child)
			}
		}
	}
	roots := false
	for _, e := range g.entities {
		roots = roots || e.spec.Root != nil
		if len(e.spec.IdentifiedBy) > 0 {
			reach(e)
		}
		if e.spec.Root != nil && len(e.spec.IdentifiedBy) == 0 {
			c.add(e.problem(v1alpha1.ReasonInvalidSpec, "", "a root entity needs identifiedBy"))
		}
	}
	for _, e := range g.entities {
		if !reached[e] {
			c.add(e.problem(v1alpha1.ReasonEntityUnreachable, "", "nothing leads from the subject to %s; give it identifiedBy, or a Deep or RefCount parent that the subject leads to", e.name))
		}
	}
	if !roots {
		c.add(Problem{Reason: v1alpha1.ReasonMapIncomplete, Message: "no entity is a root: nothing tells whether a subject is known; mark the entity that is the subject with root"})
	}
}

// tableID names a table across stores, as far as a map tells.
type tableID struct {
	store string
	table backend.Table
}

// checkTables reports tables that are mapped in ways that cannot both be right.
func (c *compiler) checkTables(g *Graph) {
	ignored := map[tableID]ignoredTable{}
	for _, t := range g.ignored {
		ignored[tableID{t.store, t.table}] = t
	}
	byTable := map[tableID][]*entity{}
	for _, e := range g.entities {
		id := tableID{e.spec.Store, e.table}
		if t, ok := ignored[id]; ok {
			c.add(e.problem(v1alpha1.ReasonInvalidSpec, "", "table %s is mapped by %s and ignored by map %s; decide for one", e.spec.Table, e.name, t.mapName))
		}
		for _, other := range byTable[id] {
			if !slices.Equal(e.spec.Key, other.spec.Key) {
				c.add(e.problem(v1alpha1.ReasonInvalidSpec, "", "%s and %s map table %s with different keys; give them the same", other.name, e.name, e.spec.Table))
			}
			if sameConditions(e.scope, other.scope) && (e.counted() || other.counted()) {
				c.add(e.problem(v1alpha1.ReasonInvalidSpec, "", "%s and %s map the same records of table %s, and one counts who refers to them: it would not see the references of the other; name all parents in one entity", other.name, e.name, e.spec.Table))
			}
			if sameConditions(e.scope, other.scope) && (e.spec.Action != other.spec.Action || e.updates()) {
				c.add(e.problem(v1alpha1.ReasonInvalidSpec, "", "%s and %s map the same records of table %s; make their conditions exclude each other", other.name, e.name, e.spec.Table))
			}
		}
		byTable[id] = append(byTable[id], e)
	}
}

// counted tells whether the entity's records go with the last reference to them.
func (e *entity) counted() bool {
	return slices.ContainsFunc(e.edges, func(ed *edge) bool { return ed.shared })
}

func sameConditions(a, b []backend.Condition) bool {
	return slices.Equal(conditionTexts(a), conditionTexts(b))
}

func conditionTexts(list []backend.Condition) []string {
	var out []string
	for _, c := range list {
		values := slices.Clone(c.Values)
		slices.Sort(values)
		out = append(out, tuple(append([]string{c.Column, string(c.Operator)}, values...)))
	}
	slices.Sort(out)
	return out
}
