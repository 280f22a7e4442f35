package backendtest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/internal/backend"
)

func testIdentity(t *testing.T, e *env) {
	e.Exec(t, `INSERT INTO person (id, tenant, email) VALUES ('kelvin', 9, $1), ('umlaut', 9, $2), ('space', 9, $3),
		('cyrillic', 9, $4), ('wide', 9, $5), ('kim', 9, $6)`,
		"\u212Aate@example.com", "MÜLLER@example.com", "\t eve@example.com \n", "аnn@example.com", "ａnn@example.com", "kim@example.com")
	for _, c := range []struct {
		name  string
		match backend.Match
		want  []string
	}{
		{"as stored", identity("email", "", "ann@example.com"), []string{"11"}},
		{"none", identity("email", backend.None, "Ann@Example.com"), []string{"1"}},
		{"lower case on both sides", identity("email", backend.LowerCase, "ANN@example.com"), []string{"1", "11"}},
		{"trimmed on both sides", identity("email", backend.TrimLowerCase, " Eve@Example.com\t"), []string{"space"}},
		{"not trimmed", identity("email", backend.LowerCase, "eve@example.com"), nil},
		{"several values", identity("email", backend.LowerCase, "nobody", "bob@example.com", "ann@example.com"), []string{"1", "10", "11"}},
		{"a longer id is another", identity("id", backend.None, "1"), []string{"1"}},
		{"no wildcard", identity("email", backend.LowerCase, "%@example.com"), nil},
		{"no single wildcard", identity("email", backend.LowerCase, "_nn@example.com"), nil},
		{"ASCII does not match the Kelvin sign", identity("email", backend.LowerCase, "kate@example.com"), nil},
		{"the Kelvin sign does not match ASCII", identity("email", backend.LowerCase, "\u212Aate@example.com", "\u212Aim@example.com"), []string{"kelvin"}},
		{"letters outside ASCII", identity("email", backend.LowerCase, "müller@EXAMPLE.com"), []string{"umlaut"}},
		{"Cyrillic look-alike", identity("email", backend.LowerCase, "Аnn@example.com"), []string{"cyrillic"}},
		{"look-alikes among others", identity("email", backend.TrimLowerCase, "kate@example.com", "müller@example.com"), []string{"umlaut"}},
		{"empty value is not NULL", identity("alias", backend.None, ""), nil},
		{"no values", identity("email", backend.None), nil},
		{"a number", identity("tenant", backend.None, "2"), []string{"11"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := resolve(t, e.b, backend.ResolveRequest{Queries: []backend.Query{persons(c.match)}})
			WantEqual(t, "keys", found(e.b, res, "person"), c.want)
		})
	}
	// Nothing but white space is trimmed.
	for i, c := range "abcdefghijklmnopqrstuvwxyz0123456789\\'\"._-" {
		e.Exec(t, `INSERT INTO person (id, tenant, email) VALUES ($1, 8, $2)`, fmt.Sprint("trim", i), string(c)+"trim@example.co"+string(c))
	}
	e.Exec(t, `INSERT INTO person (id, tenant, email) VALUES ('trim', 8, $1)`, " \t\n\v\f\rtrim@example.co\r\f\v\n\t ")
	res := resolve(t, e.b, backend.ResolveRequest{Queries: []backend.Query{persons(identity("email", backend.TrimLowerCase, "trim@example.co"))}})
	WantEqual(t, "trimmed", found(e.b, res, "person"), []string{"trim"})
	res = resolve(t, e.b, backend.ResolveRequest{Queries: []backend.Query{persons()}})
	WantEqual(t, "without any match", found(e.b, res, "person"), []string(nil))
}

func testParents(t *testing.T, e *env) {
	res := resolve(t, e.b, subject("1"))
	WantEqual(t, "person", found(e.b, res, "person"), []string{"1"})
	WantEqual(t, "application", found(e.b, res, "application"), []string{"100", "101"})
	WantEqual(t, "note, by composite key", found(e.b, res, "note"), []string{"100/1", "100/2", "101/1"})
	WantEqual(t, "tag, polymorphic, a text that refers to a number", found(e.b, res, "tag"), []string{"1", "5"})
	e.Exec(t, `CREATE TABLE revision (app_id BIGINT NOT NULL, note_seq BIGINT NOT NULL, id BIGINT PRIMARY KEY)`)
	e.Exec(t, `INSERT INTO revision VALUES (100, 2, 1), (101, 2, 2), (111, 2, 3), (100, 1, 4)`)
	req := subject("1")
	req.Queries = append(req.Queries, backend.Query{
		Entity: "revision", Table: table("revision"), KeyColumns: []string{"id"},
		AnyOf: []backend.Match{{Parent: &backend.ParentMatch{
			Entity: "note", Columns: []string{"app_id", "note_seq"}, ParentColumns: []string{"app_id", "seq"},
		}}},
	})
	res = resolve(t, e.b, req)
	WantEqual(t, "revision, by composite reference", found(e.b, res, "revision"), []string{"1", "4"})
	res = resolve(t, e.b, subject("nobody"))
	WantEqual(t, "nobody's notes", found(e.b, res, "note"), []string(nil))

	bad := subject("1")
	bad.Queries[0], bad.Queries[1] = bad.Queries[1], bad.Queries[0]
	_, err := e.b.Resolve(ctx, bad)
	wantError[*backend.RefusedError](t, err, "application", "person")
}

func testValues(t *testing.T, e *env) {
	q := backend.Query{Entity: "note", Table: table("note"), KeyColumns: []string{"app_id", "seq"}}
	for _, c := range []struct {
		name  string
		match backend.ValuesMatch
		want  []string
	}{
		{"one column", backend.ValuesMatch{Columns: []string{"app_id"}, Rows: [][]string{{"100"}, {"111"}}}, []string{"100/1", "100/2", "111/2"}},
		{"pairs", backend.ValuesMatch{Columns: []string{"app_id", "seq"}, Rows: [][]string{{"100", "2"}, {"101", "2"}}}, []string{"100/2"}},
		{"with a condition", backend.ValuesMatch{Columns: []string{"app_id"}, Rows: [][]string{{"100"}},
			Conditions: []backend.Condition{{Column: "body", Operator: backend.In, Values: []string{"a"}}}}, []string{"100/1"}},
		{"none", backend.ValuesMatch{Columns: []string{"app_id"}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			q.AnyOf = []backend.Match{{Values: &c.match}}
			res := resolve(t, e.b, backend.ResolveRequest{Queries: []backend.Query{q}})
			WantEqual(t, "keys", found(e.b, res, "note"), c.want)
		})
	}
}

func testLoose(t *testing.T, e *env) {
	d := e.Dialect()
	e.Exec(t, fmt.Sprintf(`CREATE TABLE odd (id BIGINT PRIMARY KEY, code TEXT, small SMALLINT, price %s, at %s, day DATE, raw %s, yes BOOLEAN)`,
		d.Numeric, d.Timestamp, e.BlobType()))
	e.Exec(t, `INSERT INTO odd VALUES (1, 'a', 5, 1.50, '2024-01-02 03:04:05', '2024-01-02', `+e.Blob("01ff")+`, TRUE), (2, 'a/b', 6, 2, NULL, NULL, NULL, NULL)`)
	q := backend.Query{Entity: "odd", Table: table("odd"), KeyColumns: []string{"id"}, Columns: []string{"code", "small", "price", "at", "day", "raw", "yes"}}
	q.AnyOf = []backend.Match{identity("id", backend.None, "1")}
	row := resolve(t, e.b, backend.ResolveRequest{Queries: []backend.Query{q}}).Rows["odd"][0]
	junk := []string{"", "5/2024", "x", "'", "1e1000", "99999999999999999999", "2024-02-30", "\\x", "2024-01-02 25:00:00", "ä", "{", "0x5", " "}
	search := func(columns []string, rows [][]string) []string {
		m := backend.Match{Values: &backend.ValuesMatch{Columns: columns, Rows: rows, Loose: true}}
		return found(e.b, resolve(t, e.b, backend.ResolveRequest{Queries: []backend.Query{{Entity: "odd", Table: table("odd"), KeyColumns: []string{"id"}, AnyOf: []backend.Match{m}}}}), "odd")
	}
	for i, column := range q.Columns {
		var rows [][]string
		for _, v := range junk {
			rows = append(rows, []string{v})
		}
		WantEqual(t, "junk for "+column, search([]string{column}, rows), []string(nil))
		own := e.b.Text(row.Values[i])
		WantEqual(t, "junk and the value of "+column, search([]string{column}, append(rows, []string{own})), []string{"1"})
		var pairs [][]string
		for _, v := range junk {
			pairs = append(pairs, []string{"a", v}, []string{"a/b", own})
		}
		if column != "code" {
			WantEqual(t, "pairs of junk for "+column, search([]string{"code", column}, pairs), []string(nil))
			WantEqual(t, "pairs with the value of "+column, search([]string{"code", column}, append(pairs, []string{"a", own})), []string{"1"})
		}
	}
	WantEqual(t, "key", search([]string{"id", "code"}, [][]string{{"1", "a/b"}, {"2", "a/b"}, {"2/a", "b"}}), []string{"2"})
}

func testAnyOf(t *testing.T, e *env) {
	q := persons(identity("email", backend.LowerCase, "ann@example.com"), identity("alias", backend.LowerCase, "ann@example.com"),
		identity("id", backend.None, "1"))
	q.Scope = []backend.Condition{{Column: "tenant", Operator: backend.In, Values: []string{"1"}}}
	app := backend.Query{Entity: "application", Table: table("application"), KeyColumns: []string{"id"},
		AnyOf: []backend.Match{child("person", "person_id", "id"), identity("title", backend.LowerCase, "waiter")}}
	res := resolve(t, e.b, backend.ResolveRequest{Queries: []backend.Query{q, app}})
	WantEqual(t, "within the tenant", found(e.b, res, "person"), []string{"1", "10"})
	WantEqual(t, "children within the tenant", found(e.b, res, "application"), []string{"100", "101", "110"})
}

func testReads(t *testing.T, e *env) {
	e.Exec(t, `INSERT INTO person (id, tenant, name) VALUES ('u', 1700000000, '2024-01-02T03:04:05+02:00')`)
	q := persons(identity("id", backend.None, "1", "11", "u"))
	q.Columns, q.Clocks = []string{"name", "alias"}, []string{"born", "name", "tenant"}
	q.Flags = [][]backend.Condition{
		{{Column: "status", Operator: backend.In, Values: []string{"open"}}, {Column: "tenant", Operator: backend.In, Values: []string{"1"}}},
		{},
		{{Column: "status", Operator: backend.NotIn, Values: []string{"open"}}},
	}
	rows := resolve(t, e.b, backend.ResolveRequest{Queries: []backend.Query{q}}).Rows["person"]
	if len(rows) != 3 {
		t.Fatalf("%d rows, want 3", len(rows))
	}
	WantEqual(t, "text", e.b.Text(rows[0].Values[0]), "Ann")
	WantEqual(t, "NULL", rows[1].Values[1], backend.Value(nil))
	WantEqual(t, "flags", [][]bool{rows[0].Flags, rows[1].Flags}, [][]bool{{true, true, false}, {false, true, true}})
	at := func(y int, m time.Month, d, h, min, s int) backend.Clock {
		return backend.Clock{Time: time.Date(y, m, d, h, min, s, 0, time.UTC), Valid: true}
	}
	WantEqual(t, "time", rows[0].Clocks[0], at(1980, 2, 29, 10, 11, 12))
	WantEqual(t, "no time in text", rows[0].Clocks[1], backend.Clock{})
	WantEqual(t, "NULL time", rows[1].Clocks[0], backend.Clock{})
	WantEqual(t, "RFC 3339 in text", rows[2].Clocks[1], at(2024, 1, 2, 1, 4, 5))
	WantEqual(t, "Unix seconds", rows[2].Clocks[2], at(2023, 11, 14, 22, 13, 20))
}

func testConditions(t *testing.T, e *env) {
	for _, c := range []struct {
		cond backend.Condition
		want []string
	}{
		{backend.Condition{Column: "status", Operator: backend.In, Values: []string{"open", "x"}}, []string{"1"}},
		{backend.Condition{Column: "status", Operator: backend.In}, nil},
		{backend.Condition{Column: "status", Operator: backend.NotIn, Values: []string{"open"}}, []string{"10", "11"}},
		{backend.Condition{Column: "status", Operator: backend.NotIn}, []string{"1", "10", "11"}},
		{backend.Condition{Column: "status", Operator: backend.Exists}, []string{"1", "10"}},
		{backend.Condition{Column: "status", Operator: backend.DoesNotExist}, []string{"11"}},
		{backend.Condition{Column: "tenant", Operator: backend.LessThan, Values: []string{"2"}}, []string{"1", "10"}},
		{backend.Condition{Column: "tenant", Operator: backend.GreaterThan, Values: []string{"1"}}, []string{"11"}},
		{backend.Condition{Column: "score", Operator: backend.GreaterThan, Values: []string{"1.75"}}, []string{"10"}},
		{backend.Condition{Column: "born", Operator: backend.LessThan, Values: []string{"1990-01-01 00:00:00"}}, []string{"1"}},
		{backend.Condition{Column: "tenant", Operator: backend.LessThan, Values: []string{"10"}}, []string{"1", "10", "11"}},
	} {
		t.Run(c.cond.Column+" "+string(c.cond.Operator), func(t *testing.T) {
			q := persons(identity("id", backend.None, "1", "10", "11"))
			q.Scope = []backend.Condition{c.cond}
			res := resolve(t, e.b, backend.ResolveRequest{Queries: []backend.Query{q}})
			WantEqual(t, "keys", found(e.b, res, "person"), c.want)
		})
	}
	q := persons(identity("id", backend.None, "1"))
	for _, bad := range []backend.Condition{
		{Column: "status", Operator: "Like", Values: []string{"x"}},
		{Column: "status", Operator: backend.LessThan},
	} {
		q.Scope = []backend.Condition{bad}
		_, err := e.b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{q}})
		wantError[*backend.RefusedError](t, err, "person", "status")
	}
}

func testTooManyRows(t *testing.T, e *env) {
	req := subject("1") // has 1 + 2 + 3 + 2 records
	for _, c := range []struct {
		max  int64
		many bool
	}{{0, false}, {8, false}, {7, true}, {2, true}, {1, true}} {
		req.MaxRows = c.max
		_, err := e.b.Resolve(ctx, req)
		if !c.many {
			if err != nil {
				t.Errorf("MaxRows %d: %v", c.max, err)
			}
			continue
		}
		wantError[*backend.TooManyRowsError](t, err)
	}
	req.MaxRows = 0
	resolve(t, e.b, req) // the connection is good or replaced
}

func testWrongMap(t *testing.T, e *env) {
	for _, c := range []struct {
		name   string
		change func(q *backend.Query)
		words  []string
	}{
		{"table", func(q *backend.Query) { q.Table.Name = "persons" }, []string{"persons"}},
		{"schema", func(q *backend.Query) { q.Table.Schema = "nowhere" }, []string{"nowhere.person"}},
		{"key", func(q *backend.Query) { q.KeyColumns = []string{"pk"} }, []string{"pk"}},
		{"no key", func(q *backend.Query) { q.KeyColumns = nil }, []string{"key"}},
		{"column", func(q *backend.Query) { q.Columns = []string{"mail"} }, []string{"mail"}},
		{"clock", func(q *backend.Query) { q.Clocks = []string{"age"} }, []string{"age"}},
		{"identity", func(q *backend.Query) { q.AnyOf[0] = identity("mail", backend.None, "canary") }, []string{"mail"}},
		{"normalization", func(q *backend.Query) { q.AnyOf[0] = identity("email", "Upper", "canary") }, []string{"Upper"}},
		{"two members", func(q *backend.Query) { q.AnyOf[0].Values = &backend.ValuesMatch{} }, []string{"match"}},
		{"paths", func(q *backend.Query) { q.Paths = []backend.Path{{Path: "x"}} }, []string{"path"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := persons(identity("id", backend.None, "1"))
			c.change(&q)
			_, err := e.b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{q}})
			wantError[*backend.RefusedError](t, err, append(c.words, "entity person")...)
		})
	}
	before := e.dump(t)
	for _, op := range []backend.Operation{
		{Entity: "gone", Action: backend.Delete, Table: table("persons"), KeyColumns: []string{"id"}, Keys: []backend.Key{{"1"}}},
		{Entity: "gone", Action: backend.Delete, Table: table("person"), KeyColumns: []string{"pk"}, Keys: []backend.Key{{"1"}}},
		{Entity: "gone", Action: backend.Unlink, Table: table("person"), KeyColumns: []string{"id"}, Keys: []backend.Key{{"1"}}},
		{Entity: "gone", Action: backend.Delete, Table: table("person"), Keys: []backend.Key{{"1"}}},
		{Entity: "gone", Action: backend.Delete, Table: table("person"), KeyColumns: []string{"id"}, Keys: []backend.Key{{"1", "2"}}},
		{Entity: "gone", Action: backend.Update, Table: table("person"), KeyColumns: []string{"id"}, Keys: []backend.Key{{"1"}}, Columns: []string{"name"}},
	} {
		_, err := e.b.Execute(ctx, backend.Batch{Operations: []backend.Operation{op}})
		wantError[*backend.RefusedError](t, err, "gone")
	}
	e.unchanged(t, before)
}

func testChangedTable(t *testing.T, e *env) {
	resolve(t, e.b, subject("1"))
	e.Exec(t, `ALTER TABLE person ADD COLUMN phone TEXT`)
	e.Exec(t, `UPDATE person SET phone = 'p' || id`)
	q := persons(identity("phone", backend.None, "p1"))
	q.Columns = []string{"phone"}
	res := resolve(t, e.b, backend.ResolveRequest{Queries: []backend.Query{q}})
	WantEqual(t, "by a new column", found(e.b, res, "person"), []string{"1"})
	e.Exec(t, `ALTER TABLE person DROP COLUMN phone`)
	_, err := e.b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{q}})
	wantError[*backend.RefusedError](t, err, "person", "phone")
}

func testNullKey(t *testing.T, e *env) {
	q := backend.Query{Entity: "tag", Table: table("tag"), KeyColumns: []string{"item_id"},
		AnyOf: []backend.Match{identity("label", backend.None, "w"), identity("label", backend.None, "x")}}
	_, err := e.b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{q}})
	wantError[*backend.RefusedError](t, err, "tag", "item_id")
}

func testInspect(t *testing.T, e *env) {
	d, err := e.b.Describe(ctx)
	if err != nil || d.Version == "" || len(d.Version) > 128 {
		t.Errorf("Describe: %+v, %v", d, err)
	}
	e.Exec(t, `CREATE UNIQUE INDEX person_mail ON person (tenant, email)`)
	if e.Dialect().Partial {
		e.Exec(t, `CREATE UNIQUE INDEX person_partial ON person (name) WHERE tenant = 5`)
	}
	if e.Dialect().Expressions {
		e.Exec(t, `CREATE UNIQUE INDEX person_expression ON person (tenant, lower(name))`)
	}
	e.Exec(t, `CREATE VIEW people AS SELECT * FROM person`)
	e.Count(t, "person")
	s, err := e.b.(backend.Inspector).Inspect(ctx, []backend.Table{table("person"), table("nowhere"), table("people")})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	byName := map[string]backend.TableInfo{}
	for _, i := range s.Tables {
		names = append(names, i.Table.Name)
		byName[i.Table.Name] = i
	}
	WantEqual(t, "named and referring tables", names, []string{"application", "people", "person"})
	WantEqual(t, "all tables", s.All, []backend.Table{table("application"), table("effects"), table("note"), table("person"), table("tag")})
	p := byName["person"]
	WantEqual(t, "unique", p.Unique, [][]string{{"id"}, {"tenant", "email"}})
	WantEqual(t, "kind", []backend.TableKind{p.Kind, byName["people"].Kind}, []backend.TableKind{backend.KindTable, backend.KindView})
	WantEqual(t, "privileges", p.Privileges, backend.Privileges{Select: true, Update: true, Delete: true})
	if len(p.Triggers) == 0 || len(byName["application"].Triggers) != 0 {
		t.Errorf("triggers: %v, %v", p.Triggers, byName["application"].Triggers)
	}
	var columns []string
	for _, c := range p.Columns {
		columns = append(columns, c.Name+" "+strings.ToLower(c.Type))
		if c.Nullable != (c.Name != "id" && c.Name != "tenant") && c.Name != "id" || !c.UpdatePrivilege || !c.SelectPrivilege || c.Generated {
			t.Errorf("column %+v", c)
		}
	}
	if len(columns) != 8 || columns[1] != "tenant bigint" {
		t.Errorf("columns %v", columns)
	}
	fk := byName["application"].ForeignKeys
	if len(fk) != 1 {
		t.Fatalf("foreign keys %+v", fk)
	}
	fk[0].Name = ""
	if fk[0].OnDelete == backend.Restrict { // some databases do not tell them apart
		fk[0].OnDelete = backend.NoAction
	}
	WantEqual(t, "foreign key", fk[0], backend.ForeignKey{
		Columns: []string{"person_id"}, References: table("person"), RefColumns: []string{"id"}, OnDelete: backend.NoAction,
	})
	WantEqual(t, "indexes of the child", byName["application"].Indexed, [][]string{{"id"}, {"person_id"}})
}
