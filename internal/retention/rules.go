package retention

import (
	"fmt"
	"slices"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/period"
	"github.com/lethe-dev/lethe/internal/planner"
)

// Problem is one reason why a rule cannot be applied.
type Problem struct {
	// Rule that it concerns; empty where it concerns all.
	Rule string
	// Entity (map/entity) that it concerns, if it is one.
	Entity string
	// Reason is one of the Reason constants of the API.
	Reason string
	// Message says what is wrong, where, and what to do.
	Message string
}

// Rules are the compiled rules of a policy.
type Rules struct {
	// Targets in the order of the policy's rules, those of a category by the name of the entity.
	Targets []*Target
	// declared has the names of the entities of the maps, nodes the entities.
	declared map[string]bool
	nodes    []*planner.Node
}

// Of lists the targets of one rule.
func (r *Rules) Of(rule string) []*Target {
	var targets []*Target
	for _, t := range r.Targets {
		if t.Rule.Name == rule {
			targets = append(targets, t)
		}
	}
	return targets
}

// Target is a rule for one entity.
type Target struct {
	Rule v1alpha1.RetentionRule
	// Map and Entity (its name within the map) that the rule is for.
	Map, Entity string
	// Store that has the records, Category of their data.
	Store, Category string
	// Period of the rule.
	Period period.Period

	rules *Rules
	node  *planner.Node
	// touched by the rule: the records of the entity, and what goes with them.
	touched []touched
	clock   backend.SweepClock
	scope   []backend.Condition
	steps   []*step
	tests   []test
	// done recognises records that a rule without a stamp has treated; nil where nothing can.
	done *backend.SweepTest
	// persons are the ways to the person that a record is about.
	persons []backend.SweepClock
	// lostPersons are the parents through which there may be another one, where no sweep can look.
	lostPersons []string
	// otherIdentities than the id may make a record somebody's.
	otherIdentities bool
	ignored         []backend.Table
}

// Name of the target within its policy.
func (t *Target) Name() string { return t.Rule.Name + ":" + t.node.Name }

// compiler makes the rules of one policy.
type compiler struct {
	spec   v1alpha1.RetentionPolicySpec
	graph  *planner.Graph
	nodes  []*planner.Node
	byName map[string]*planner.Node
	// named has the entities that a rule of the policy names.
	named    map[string]bool
	rules    *Rules
	problems []Problem
}

// Compile makes the targets of a policy's rules. A problem of one rule leaves the others as they are: a rule for a category has
// targets for the entities without a problem. Maps that do not fit together give no target at all.
func Compile(spec v1alpha1.RetentionPolicySpec, maps []planner.MapSource) (*Rules, []Problem) {
	c := &compiler{spec: spec, byName: map[string]*planner.Node{}, named: map[string]bool{}, rules: &Rules{declared: map[string]bool{}}}
	if len(spec.Rules) == 0 {
		return c.rules, nil
	}
	graph, broken := planner.Compile(maps, "")
	if len(broken) > 0 || graph == nil {
		c.brokenMaps(broken)
		return c.rules, c.problems
	}
	c.graph, c.nodes = graph, graph.Nodes()
	c.rules.nodes = c.nodes
	for _, n := range c.nodes {
		c.byName[n.Name], c.rules.declared[n.Name] = n, true
	}
	for _, r := range spec.Rules {
		if r.Entity != "" {
			c.named[r.Entity] = true
		}
	}
	for i, r := range spec.Rules {
		if slices.ContainsFunc(spec.Rules[:i], func(o v1alpha1.RetentionRule) bool { return o.Name == r.Name }) {
			c.add(r, nil, v1alpha1.ReasonInvalidSpec, "two rules have the name %s; rename one", r.Name)
			continue
		}
		c.compileRule(r)
	}
	return c.rules, c.problems
}

func (c *compiler) brokenMaps(broken []planner.Problem) {
	if len(broken) == 0 {
		c.problems = append(c.problems, Problem{Reason: v1alpha1.ReasonNoMap, Message: "no PersonalDataMap has an entity; declare where the data is"})
	}
	for _, p := range broken {
		entity := ""
		if p.Entity != "" {
			entity = p.Map + "/" + p.Entity
		}
		c.problems = append(c.problems, Problem{Entity: entity, Reason: v1alpha1.ReasonMapNotReady, Message: p.Message})
	}
}

func (c *compiler) add(r v1alpha1.RetentionRule, n *planner.Node, reason, format string, args ...any) {
	p := Problem{Rule: r.Name, Reason: reason, Message: "rule " + r.Name + ": " + fmt.Sprintf(format, args...)}
	if n != nil {
		p.Entity = n.Name
	}
	c.problems = append(c.problems, p)
}

// compileRule makes the targets of one rule.
func (c *compiler) compileRule(r v1alpha1.RetentionRule) {
	before := len(c.problems)
	p, err := period.Parse(r.Period)
	if err != nil {
		c.add(r, nil, v1alpha1.ReasonInvalidSpec, "period %q: %s", r.Period, err)
	}
	if _, err := period.Parse(r.ArchiveRetention); err != nil && r.ArchiveRetention != "" {
		c.add(r, nil, v1alpha1.ReasonInvalidSpec, "archiveRetention %q: %s", r.ArchiveRetention, err)
	}
	for _, list := range [][]v1alpha1.Condition{r.Conditions, r.Unless} {
		for _, cond := range list {
			if !planner.ValidCondition(cond) {
				c.add(r, nil, v1alpha1.ReasonInvalidSpec,
					"a condition on column %q with operator %q is not valid: In and NotIn need values, LessThan and GreaterThan one, Exists and DoesNotExist none", cond.Column, cond.Operator)
			}
		}
	}
	nodes := c.entitiesOf(r)
	if len(nodes) == 0 {
		c.unknownEntity(r)
	}
	if len(c.problems) > before {
		return
	}
	for _, n := range nodes {
		if t := c.target(r, p, n); t != nil {
			c.rules.Targets = append(c.rules.Targets, t)
		}
	}
}

// entitiesOf lists the entities that a rule is for. A category leaves out what the map keeps on a legal basis: that takes a rule
// that names it.
func (c *compiler) entitiesOf(r v1alpha1.RetentionRule) []*planner.Node {
	if r.Entity != "" {
		if n := c.byName[r.Entity]; n != nil {
			return []*planner.Node{n}
		}
		return nil
	}
	var nodes []*planner.Node
	for _, n := range c.nodes {
		if n.Spec.Category == r.Category && r.Category != "" && !c.named[n.Name] && n.Spec.Action != v1alpha1.ActionKeep {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

func (c *compiler) unknownEntity(r v1alpha1.RetentionRule) {
	if r.Entity != "" {
		c.add(r, nil, v1alpha1.ReasonEntityUnknown, "no map has the entity %s; name one as map/entity", r.Entity)
		return
	}
	c.add(r, nil, v1alpha1.ReasonEntityUnknown,
		"no map has an entity of the category %s that no rule names by itself (those with the action Keep do not count); correct the category, or name an entity", r.Category)
}

// target compiles a rule for one entity; nil where there is a problem.
func (c *compiler) target(r v1alpha1.RetentionRule, p period.Period, n *planner.Node) *Target {
	t := &Target{Rule: r, Map: n.Map, Entity: n.Spec.Name, Store: n.Spec.Store, Category: n.Spec.Category, Period: p,
		rules: c.rules, node: n, ignored: c.graph.IgnoredTables(n.Spec.Store)}
	b := &builder{c: c, t: t}
	before := len(c.problems)
	b.resolveClock()
	b.checkBounds()
	b.buildSteps()
	b.buildScope()
	b.buildTests()
	b.findPersons()
	if len(c.problems) > before {
		return nil
	}
	return t
}

// builder compiles one target.
type builder struct {
	c *compiler
	t *Target
}

func (b *builder) problem(reason, format string, args ...any) {
	b.c.add(b.t.Rule, b.t.node, reason, format, args...)
}

// unsupported reports what only an erasure of the whole person can do.
func (b *builder) unsupported(format string, args ...any) {
	b.problem(v1alpha1.ReasonRuleUnsupported, format+"; a rule for the root entity with the action EraseSubject can do it, record by record", args...)
}

// buildScope says which records the rule is about.
func (b *builder) buildScope() {
	t := b.t
	t.scope = slices.Concat(t.node.Scope, planner.Conditions(t.Rule.Conditions))
	if t.Rule.Stamp != "" {
		t.scope = append(t.scope, backend.Condition{Column: t.Rule.Stamp, Operator: backend.DoesNotExist})
	}
}
