package property

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// A row of another tenant that refers to a row of the subject is in the way of the erasure, whatever the constraint would
// do with it.
func TestRowsOfAnotherTenantStay(t *testing.T) {
	seen := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		engine := pick(rt, []string{"postgresql", "sqlite"}, "engine")
		action := pick(rt, []string{"CASCADE", "SET NULL", "SET DEFAULT", "NO ACTION"}, "on delete")
		tenant := pick(rt, []string{"1", "10"}, "tenant")
		if seen[engine+action+tenant]++; seen[engine+action+tenant] > 1 {
			return
		}
		w := tenantWorld(engine, action, tenant)
		if problem, found := runCase(rt, w, map[string]int{}); problem != "" || found != (tenant == "1") {
			rt.Fatalf("%s %s %s: %q, %t", engine, action, tenant, problem, found)
		}
	})
}

// tenantWorld is a person with a child of the map's tenant, and one of the given tenant.
func tenantWorld(engine, action, tenant string) *world {
	w := &world{files: map[string]bool{}, batch: 1000, engines: map[string]string{"main": engine}, tenants: []string{"1", "10"},
		subject: map[string][]string{"id": {"7"}}}
	p := &table{name: "person", store: "main", key: []string{"id"}}
	p.add("rid", "int", true)
	p.add("id", "int", true)
	p.entity = v1alpha1.Entity{Name: "e0", Store: "main", Table: "person", Key: p.key, Category: "c", Action: v1alpha1.ActionDelete,
		Root: &v1alpha1.Root{Rows: v1alpha1.RowsMany}, IdentifiedBy: []v1alpha1.IdentityMatch{{Column: "id", Identity: "id"}}}
	p.rows = []*row{{1, map[string]*string{"rid": ptr("1"), "id": ptr("7")}}}
	c := &table{name: "child", store: "main", key: []string{"id"}, hasTenant: true}
	for _, name := range []string{"rid", "tenant", "id", "person_id"} {
		c.add(name, "int", name != "person_id")
	}
	c.refs = []ref{{to: 0, columns: []string{"person_id"}, parents: []string{"id"}, deep: true, fk: true, mixed: true, onDelete: action}}
	c.entity = v1alpha1.Entity{Name: "e1", Store: "main", Table: "child", Key: c.key, Category: "c", Action: v1alpha1.ActionDelete,
		Conditions: []v1alpha1.Condition{{Column: "tenant", Operator: v1alpha1.OperatorIn, Values: []string{"1"}}},
		Parents: []v1alpha1.Parent{{Entity: "e0", Relation: v1alpha1.RelationDeep,
			Columns: []v1alpha1.ColumnPair{{Column: "person_id", ParentColumn: "id"}}}}}
	c.rows = []*row{{2, map[string]*string{"rid": ptr("2"), "tenant": ptr("1"), "id": ptr("1"), "person_id": ptr("7")}},
		{3, map[string]*string{"rid": ptr("3"), "tenant": ptr(tenant), "id": ptr("2"), "person_id": ptr("7")}}}
	w.tables = []*table{p, c}
	return w
}
