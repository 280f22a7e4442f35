package mysql_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/backendtest"
)

// TestIndexesServe: that comparisons are exact does not make the server read whole tables.
func TestIndexesServe(t *testing.T) {
	d := newDatabase(t)
	d.Exec(t, "CREATE TABLE person (id VARCHAR(40) PRIMARY KEY, email VARCHAR(100), n BIGINT, at DATETIME, KEY (email), KEY (n), KEY (at))")
	d.Exec(t, "CREATE TABLE item (tenant INT, seq BIGINT, person VARCHAR(40) CHARACTER SET latin1, other VARCHAR(40), label TEXT, PRIMARY KEY (tenant, seq), KEY (person), KEY (other))")
	d.Exec(t, "CREATE TABLE card (id BIGINT PRIMARY KEY, person VARCHAR(40), FOREIGN KEY (person) REFERENCES person (id) ON DELETE CASCADE)")
	d.Exec(t, "INSERT INTO person SELECT concat('p', seq), concat('P', seq, '@x.de'), seq, '2024-01-01' + INTERVAL seq SECOND FROM seq_1_to_20000")
	d.Exec(t, "INSERT INTO item SELECT 1, seq, concat('p', seq), concat('p', seq + 1), seq FROM seq_1_to_20000")
	d.Exec(t, "INSERT INTO card SELECT seq, concat('p', seq) FROM seq_1_to_20000")
	d.Exec(t, "DELETE FROM card WHERE id < 1000")
	d.Dump(t, "ANALYZE TABLE person, item, card")
	b := d.Open(t, backendtest.Limits{})
	counter := func() int {
		sum := 0
		for _, line := range d.Dump(t, "SHOW GLOBAL STATUS LIKE 'Handler_read%'") {
			n, err := strconv.Atoi(line[strings.Index(line, "|")+1:])
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
		return sum
	}
	rows := func(f func()) int { // less what the look at the counters reads
		first := counter()
		second := counter()
		f()
		return counter() - second - (second - first)
	}
	bounded := func(what string, most int, f func()) {
		t.Helper()
		if got := rows(f); got > most {
			t.Errorf("%s: %d rows read", what, got)
		}
	}
	person := backend.Query{Entity: "person", Table: backend.Table{Name: "person"}, KeyColumns: []string{"id"}}
	item := backend.Query{Entity: "item", Table: backend.Table{Name: "item"}, KeyColumns: []string{"tenant", "seq"}, AnyOf: []backend.Match{
		{Parent: &backend.ParentMatch{Entity: "person", Columns: []string{"person"}, ParentColumns: []string{"id"}}},
		{Parent: &backend.ParentMatch{Entity: "person", Columns: []string{"other"}, ParentColumns: []string{"id"}}}}}
	var pairs [][]string
	for i := range 500 {
		pairs = append(pairs, []string{"1", fmt.Sprint(i + 1)})
	}
	for _, c := range []struct {
		what  string
		match backend.Match
	}{
		{"text", identity("email", backend.None, "P7@x.de")}, {"lower case", identity("email", backend.LowerCase, "p7@x.de", "p8@x.de")},
		{"number", identity("n", backend.None, "7")}, {"time", identity("at", backend.None, "2024-01-01 00:00:07")}, {"key", identity("id", backend.None, "p7")},
	} {
		person.AnyOf = []backend.Match{c.match}
		bounded(c.what, 200, func() {
			res, err := b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{person, item}})
			if err != nil || len(res.Rows["person"]) == 0 || len(res.Rows["item"]) != 1+len(res.Rows["person"]) {
				t.Fatalf("%s: %+v, %v", c.what, res, err)
			}
		})
	}
	person.AnyOf = []backend.Match{identity("email", backend.LowerCase, "p7@x.de"), identity("n", backend.None, "9")}
	bounded("any of two", 200, func() {
		if got := len(mustResolve(t, b, person)); got != 2 {
			t.Errorf("%d found", got)
		}
	})
	item.AnyOf = []backend.Match{{Values: &backend.ValuesMatch{Columns: []string{"tenant", "seq"}, Rows: pairs}}}
	bounded("values of two columns", 4000, func() {
		if got := len(mustResolve(t, b, item)); got != 500 {
			t.Errorf("%d found", got)
		}
	})
	update := backend.Operation{Entity: "item", Action: backend.Update, Table: item.Table, KeyColumns: item.KeyColumns, Columns: []string{"label"}}
	people := deletion("person")
	for i, p := range pairs {
		update.Keys, update.Set = append(update.Keys, backend.Key(p)), append(update.Set, []backend.Value{nil})
		people.Keys = append(people.Keys, backend.Key{fmt.Sprint("p", i+1)})
	}
	gone := update
	gone.Action, gone.Columns, gone.Set = backend.Delete, nil, nil
	for _, c := range []struct {
		what string
		op   backend.Operation
	}{{"update", update}, {"delete by two columns", gone}, {"delete with guards", people}} {
		bounded(c.what, 5000, func() {
			got, err := b.Execute(ctx, backend.Batch{Operations: []backend.Operation{c.op}})
			if err != nil || got.Affected[0] != 500 {
				t.Fatalf("%s: %+v, %v", c.what, got, err)
			}
		})
	}
}

func mustResolve(t *testing.T, b backend.Backend, q backend.Query) []backend.Row {
	t.Helper()
	res, err := b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{q}})
	if err != nil {
		t.Fatal(err)
	}
	return res.Rows[q.Entity]
}
