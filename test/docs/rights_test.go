package docs

import (
	"regexp"
	"strings"
	"testing"
)

// TestRightsCanBeGranted runs the statements that the reference gives an administrator, on tables of the names it uses.
func TestRightsCanBeGranted(t *testing.T) {
	setup := map[string][]string{
		"postgresql": {"CREATE TABLE employees (id INTEGER, manager_id INTEGER)", "CREATE TABLE payslips (id INTEGER)",
			"CREATE TABLE consents (id INTEGER, email TEXT, full_name TEXT)", "CREATE TABLE cost_centres (id INTEGER)"},
		"mariadb": {"CREATE TABLE customers (id INTEGER)", "CREATE TABLE consents (id INTEGER, email TEXT, name TEXT)", "CREATE TABLE order_lines (id INTEGER)"},
	}
	comment := regexp.MustCompile(` *--[^\n]*`)
	granted := map[string]bool{}
	for _, b := range blocks(t, markdown(t, "docs/reference/stores.md")) {
		engine := b.attributes["rights"]
		if engine == "" {
			continue
		}
		d := newDatabase(t, engine, t.TempDir())
		for _, s := range setup[engine] {
			if err := d.exec(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		name := d.read(t, map[string]string{"postgresql": "SELECT current_database()", "mariadb": "SELECT DATABASE()"}[engine])
		b.text = strings.NewReplacer("DATABASE payroll", "DATABASE "+name, "shop.", name+".").Replace(comment.ReplaceAllString(b.text, ""))
		d.run(t, b)
		granted[engine] = true
	}
	for engine := range setup {
		if !granted[engine] {
			t.Errorf("the reference says nothing of the rights on %s", engine)
		}
	}
}
