package backendtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/internal/backend"
)

// without are the rows that do not belong to the subject 1.
func without(dump map[string][]string, drop map[string]int) map[string][]string {
	rest := map[string][]string{}
	for name, rows := range dump {
		rest[name] = rows[drop[name]:] // subject 1 sorts first
	}
	return rest
}

func testDelete(t *testing.T, e *env) {
	for _, name := range tables {
		e.Count(t, name)
	}
	e.Exec(t, `DELETE FROM tag WHERE id = 2`) // not the subject's, but sorts among them
	e.Exec(t, `DELETE FROM effects`)
	e.Exec(t, `UPDATE tag SET id = 2 WHERE id = 5`)
	e.Exec(t, `DELETE FROM effects`)
	want := without(e.dump(t), map[string]int{"person": 1, "application": 2, "note": 3, "tag": 2})
	req := subject("1")
	ops := deletion(req, resolve(t, e.b, req))
	wantLeft(t, e.b, ops, 2, 3, 2, 1)
	WantEqual(t, "affected", execute(t, e.b, ops), []int64{2, 3, 2, 1})
	wantLeft(t, e.b, ops, 0, 0, 0, 0)
	WantEqual(t, "effects", e.Dump(t, "SELECT tab, count(*) FROM effects GROUP BY tab ORDER BY tab"),
		[]string{"application|2", "note|3", "person|1", "tag|2"})
	WantEqual(t, "affected by doing it again", execute(t, e.b, ops), []int64{0, 0, 0, 0})
	WantEqual(t, "effects of doing it again", len(e.Dump(t, "SELECT * FROM effects")), 8)
	e.unchanged(t, want)
	WantEqual(t, "an empty batch", execute(t, e.b, nil), []int64{})
}

// value is text as the backend's value.
func (e *env) value(text string) backend.Value { return e.b.FromText(text) }

func (e *env) keys(ids ...string) []backend.Key {
	keys := make([]backend.Key, len(ids))
	for i, id := range ids {
		keys[i] = backend.Key{*e.value(id)}
	}
	return keys
}

func testUpdate(t *testing.T, e *env) {
	e.Count(t, "person")
	op := backend.Operation{
		Entity: "person", Action: backend.Update, Table: table("person"), KeyColumns: []string{"id"}, Keys: e.keys("1", "10", "gone"),
		Columns: []string{"name", "email", "score", "born"},
		Set: [][]backend.Value{
			{e.value("x1"), nil, e.value("7.25"), e.value("2000-01-01 00:00:00")},
			{e.value("x10"), e.value(""), nil, nil},
			{e.value("x"), nil, nil, nil},
		},
	}
	ops := []backend.Operation{op}
	wantLeft(t, e.b, ops, 2)
	WantEqual(t, "affected", execute(t, e.b, ops), []int64{2})
	wantLeft(t, e.b, ops, 0)
	WantEqual(t, "affected by doing it again", execute(t, e.b, ops), []int64{0})
	WantEqual(t, "effects", len(e.Dump(t, "SELECT * FROM effects")), 2)
	got := e.Dump(t, "SELECT id, name, email, alias, status FROM person ORDER BY id")
	WantEqual(t, "rows", got, []string{"1|x1|NULL|ann|open", "10|x10||ann@example.com|closed",
		"11|Ann of another tenant|ann@example.com|NULL|NULL"})
}

func testExpect(t *testing.T, e *env) {
	op := backend.Operation{
		Entity: "person", Action: backend.Update, Table: table("person"), KeyColumns: []string{"id"}, Keys: e.keys("1", "10", "11"),
		Columns: []string{"status"},
		Set:     [][]backend.Value{{e.value("hidden")}, {e.value("hidden")}, {e.value("hidden")}},
		Expect:  [][]backend.Value{{e.value("open")}, {e.value("open")}, {nil}},
	}
	ops := []backend.Operation{op}
	WantEqual(t, "affected", execute(t, e.b, ops), []int64{2})
	WantEqual(t, "affected by doing it again", execute(t, e.b, ops), []int64{0})
	wantLeft(t, e.b, ops, 0)
	WantEqual(t, "rows", e.Dump(t, "SELECT id, status FROM person ORDER BY id"), []string{"1|hidden", "10|closed", "11|hidden"})
}

var errNotYet = errors.New("not yet")

func testBeforeEffect(t *testing.T, e *env) {
	before := e.dump(t)
	req := subject("1")
	ops := deletion(req, resolve(t, e.b, req))
	calls := 0
	_, err := e.b.Execute(ctx, backend.Batch{Operations: ops, BeforeEffect: func(context.Context) error { calls++; return errNotYet }})
	if err == nil || calls == 0 {
		t.Errorf("refused before the effect: error %v, %d calls", err, calls)
	}
	e.unchanged(t, before)
	res, err := e.b.Execute(ctx, backend.Batch{Operations: ops, BeforeEffect: func(context.Context) error {
		e.unchanged(t, before) // as others see it
		calls = -1
		return nil
	}})
	if err != nil || calls != -1 {
		t.Fatalf("permitted: %v, %d calls", err, calls)
	}
	WantEqual(t, "affected", res.Affected, []int64{2, 3, 2, 1})
}

func testBatchSize(t *testing.T, e *env) {
	for i := range 25 {
		e.Exec(t, `INSERT INTO tag VALUES ($1, 500, 'many', 'm')`, 1000+i)
	}
	b := e.Open(t, Limits{BatchSize: 3})
	q := backend.Query{Entity: "tag", Table: table("tag"), KeyColumns: []string{"id"},
		AnyOf: []backend.Match{identity("item_id", backend.None, "many")}}
	req := backend.ResolveRequest{Queries: []backend.Query{q}}
	op := deletion(req, resolve(t, b, req))[0]
	update := op
	update.Action, update.Columns = backend.Update, []string{"label"}
	for i := range op.Keys {
		update.Set = append(update.Set, []backend.Value{e.value(fmt.Sprint("m", i))})
	}
	WantEqual(t, "updated", execute(t, b, []backend.Operation{update}), []int64{25})
	WantEqual(t, "labels", len(e.Dump(t, "SELECT DISTINCT label FROM tag WHERE item_id = 'many'")), 25)
	wantLeft(t, b, []backend.Operation{op, update}, 25, 0)
	WantEqual(t, "deleted", execute(t, b, []backend.Operation{op}), []int64{25})
	WantEqual(t, "others", len(e.Dump(t, "SELECT * FROM tag")), 5)
}

func testUnless(t *testing.T, e *env) {
	before := e.dump(t)
	req := subject("1")
	res := resolve(t, e.b, req)
	ops := deletion(req, res)
	ops[2].Unless = [][]backend.Condition{
		{{Column: "state", Operator: backend.In, Values: []string{"held"}}},
		{{Column: "state", Operator: backend.In, Values: []string{"open"}}, {Column: "closed", Operator: backend.DoesNotExist}},
	}
	// The notes of the kept application must not go either: everything is rolled back.
	_, err := e.b.Execute(ctx, backend.Batch{Operations: ops[:3]})
	wantError[*backend.StaleError](t, err, "application")
	_, err = e.b.Execute(ctx, backend.Batch{Operations: ops}) // the kept application may block the person first
	wantError[*backend.StaleError](t, err)
	e.unchanged(t, before)

	update := []backend.Operation{{
		Entity: "person", Action: backend.Update, Table: table("person"), KeyColumns: []string{"id"}, Keys: e.keys("1"),
		Columns: []string{"name"}, Set: [][]backend.Value{{nil}},
		Unless: [][]backend.Condition{{{Column: "status", Operator: backend.In, Values: []string{"open"}}}},
	}}
	_, err = e.b.Execute(ctx, backend.Batch{Operations: update})
	wantError[*backend.StaleError](t, err, "person")
	e.unchanged(t, before)
	// NULL meets no condition: the group does not keep the record.
	ops[2].Unless = [][]backend.Condition{{{Column: "closed", Operator: backend.LessThan, Values: []string{"1999-01-01 00:00:00"}}}}
	WantEqual(t, "affected", execute(t, e.b, ops), []int64{2, 3, 2, 1})
}

func testForeignKey(t *testing.T, e *env) {
	req := subject("1")
	ops := deletion(req, resolve(t, e.b, req))
	e.Exec(t, `INSERT INTO note VALUES (101, 9, 'canary came later')`)
	before := e.dump(t)
	_, err := e.b.Execute(ctx, backend.Batch{Operations: ops})
	wantError[*backend.StaleError](t, err, "application")
	e.unchanged(t, before)
}

// nasty are values that careless code mixes up or cannot carry.
var nasty = []string{
	"1", "10", "01", " 1", "1 ", "1.0", "a_b", "a%b", "aXb", `a'b`, `a"b`, `a\b`, `a\\b`, `a''b`, "a\nb", "a\tb", "", " ",
	"NULL", "null", "{a,b}", `{"a"}`, "[]", `["x"]`, "$1", "?1", ":a", "@a", "é", "e\u0301", "ａ", "а", "a", "A", "ß", "SS",
	"\u202Eabc", "👩‍👩‍👧", strings.Repeat("x", 10_000), strings.Repeat("é'", 5_000), "--", "/*", "*/", ";", "\\x41", "true", "0x10", "1e1",
}

func testNastyKeys(t *testing.T, e *env) {
	d := e.Dialect()
	e.Exec(t, fmt.Sprintf(`CREATE TABLE nasty (a %s NOT NULL, b %s NOT NULL, %s)`, d.Text, d.Text, d.LongKey(nil, []string{"a", "b"})))
	for i, v := range nasty {
		e.Exec(t, `INSERT INTO nasty VALUES ($1, $2)`, v, nasty[len(nasty)-1-i])
	}
	for i, v := range nasty {
		q := backend.Query{Entity: "nasty", Table: table("nasty"), KeyColumns: []string{"a", "b"}, Columns: []string{"a", "b"},
			AnyOf: []backend.Match{identity("a", backend.None, v),
				{Values: &backend.ValuesMatch{Columns: []string{"a", "b"}, Rows: [][]string{{v, nasty[len(nasty)-1-i]}}}}}}
		req := backend.ResolveRequest{Queries: []backend.Query{q}}
		res := resolve(t, e.b, req)
		rows := res.Rows["nasty"]
		if len(rows) != 1 || e.b.Text(&rows[0].Key[0]) != v || e.b.Text(rows[0].Values[0]) != v {
			t.Fatalf("value %d: found %d rows, want just its own", i, len(rows))
		}
		ops := deletion(req, res)
		WantEqual(t, "affected", execute(t, e.b, ops), []int64{1})
		if left := e.Dump(t, "SELECT count(*) FROM nasty")[0]; left != fmt.Sprint(len(nasty)-1-i) {
			t.Fatalf("value %d: %s rows are left, want %d", i, left, len(nasty)-1-i)
		}
	}
}

func testLossless(t *testing.T, e *env) {
	e.Exec(t, fmt.Sprintf(`CREATE TABLE typed (id BIGINT PRIMARY KEY, i BIGINT, f DOUBLE PRECISION, n %s, s TEXT, b %s,
		d DATE, ts %s, o BOOLEAN)`, e.Dialect().Numeric, e.BlobType(), e.Dialect().Timestamp))
	for i, row := range []string{
		`9223372036854775807, 0.1, 1.5, '', ` + e.Blob("") + `, '2024-02-29', '2024-02-29 23:59:59.123456', TRUE`,
		`-9223372036854775808, 1.7976931348623157e308, 12345678901234, 'null', ` + e.Blob("00ff41") + `, '0001-01-01', '1900-01-01 00:00:00', FALSE`,
		`9007199254740993, 5e-324, 0, 'a''"\b', ` + e.Blob("7b7d") + `, NULL, NULL, NULL`,
		`NULL, 0.30000000000000004, -1, '10', NULL, '2024-01-01', NULL, TRUE`,
		`0, NULL, NULL, NULL, NULL, NULL, NULL, NULL`,
	} {
		e.Exec(t, fmt.Sprintf(`INSERT INTO typed VALUES (%d, %s)`, i, row))
		e.Exec(t, fmt.Sprintf(`INSERT INTO typed (id) VALUES (%d)`, 100+i))
	}
	columns := []string{"i", "f", "n", "s", "b", "d", "ts", "o"}
	q := backend.Query{Entity: "typed", Table: table("typed"), KeyColumns: []string{"id"}, Columns: columns,
		AnyOf: []backend.Match{identity("id", backend.None, "0", "1", "2", "3", "4")}}
	rows := resolve(t, e.b, backend.ResolveRequest{Queries: []backend.Query{q}}).Rows["typed"]
	copyAll := backend.Operation{Entity: "typed", Action: backend.Update, Table: table("typed"), KeyColumns: []string{"id"}, Columns: columns}
	again := copyAll
	for i, r := range rows {
		copyAll.Keys, copyAll.Set = append(copyAll.Keys, e.keys(fmt.Sprint(100+i))...), append(copyAll.Set, r.Values)
		again.Keys, again.Set, again.Expect = append(again.Keys, r.Key), append(again.Set, r.Values), append(again.Expect, r.Values)
	}
	WantEqual(t, "rows written with what they have", execute(t, e.b, []backend.Operation{again}), []int64{0})
	WantEqual(t, "copies", execute(t, e.b, []backend.Operation{copyAll}), []int64{5})
	list := strings.Join(columns, ", ")
	WantEqual(t, "copies", e.Dump(t, "SELECT "+list+" FROM typed WHERE id >= 100 ORDER BY id"),
		e.Dump(t, "SELECT "+list+" FROM typed WHERE id < 100 ORDER BY id"))
	wantLeft(t, e.b, []backend.Operation{copyAll}, 0)
}

func testInjection(t *testing.T, e *env) {
	before := e.dump(t)
	for _, s := range Attacks {
		for _, m := range []backend.Match{
			identity("id", backend.None, s), identity("email", backend.LowerCase, s), identity("email", backend.TrimLowerCase, s),
			{Values: &backend.ValuesMatch{Columns: []string{"id", "email"}, Rows: [][]string{{s, s}}}},
		} {
			res := resolve(t, e.b, backend.ResolveRequest{Queries: []backend.Query{persons(m)}})
			WantEqual(t, s, found(e.b, res, "person"), []string(nil))
		}
		q := persons(identity("id", backend.None, "1"))
		q.Scope = []backend.Condition{{Column: "status", Operator: backend.In, Values: []string{s}}}
		res := resolve(t, e.b, backend.ResolveRequest{Queries: []backend.Query{q}})
		WantEqual(t, s, found(e.b, res, "person"), []string(nil))
		number := backend.Query{Entity: "application", Table: table("application"), KeyColumns: []string{"id"},
			AnyOf: []backend.Match{identity("id", backend.None, s)}}
		if res, err := e.b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{number}}); err == nil {
			WantEqual(t, s, found(e.b, res, "application"), []string(nil))
		} else {
			wantError[*backend.RefusedError](t, err, "application")
		}
		ops := []backend.Operation{
			{Entity: "tag", Action: backend.Update, Table: table("tag"), KeyColumns: []string{"item_id"}, Keys: e.keys(s),
				Columns: []string{"label"}, Set: [][]backend.Value{{e.value(s)}}},
			{Entity: "person", Action: backend.Delete, Table: table("person"), KeyColumns: []string{"id"}, Keys: []backend.Key{{s}},
				Unless: [][]backend.Condition{{{Column: "status", Operator: backend.GreaterThan, Values: []string{s}}}}},
		}
		WantEqual(t, s, execute(t, e.b, ops), []int64{0, 0})
		wantLeft(t, e.b, ops, 0, 0)
	}
	e.unchanged(t, before)
	op := backend.Operation{Entity: "person", Action: backend.Update, Table: table("person"), KeyColumns: []string{"id"},
		Keys: e.keys("1"), Columns: []string{"name"}}
	for _, s := range Attacks {
		op.Set = [][]backend.Value{{e.value(s)}}
		WantEqual(t, s, execute(t, e.b, []backend.Operation{op}), []int64{1})
		WantEqual(t, s, e.Dump(t, "SELECT name FROM person WHERE id = '1'"), []string{s})
	}
}

func testNames(t *testing.T, e *env) {
	before := e.dump(t)
	quote := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
	for i, name := range []string{`t"; DROP TABLE person; --`, `SELECT`, `Über "x"`, `a.b`, `$1`, `?`, `it's`, `back\slash`, `MixedCase`} {
		tab, col := name, name+" k"
		e.Exec(t, fmt.Sprintf(`CREATE TABLE %s (%s %s PRIMARY KEY, %s TEXT)`, quote(tab), quote(col), e.Dialect().KeyText, quote(col+"v")))
		e.Exec(t, fmt.Sprintf(`INSERT INTO %s VALUES ('1', 'v'), ('2', 'w')`, quote(tab)))
		q := backend.Query{Entity: fmt.Sprint("odd", i), Table: table(tab), KeyColumns: []string{col}, Columns: []string{col + "v"},
			AnyOf: []backend.Match{identity(col, backend.None, "1"), identity(col+"v", backend.LowerCase, "v")}}
		req := backend.ResolveRequest{Queries: []backend.Query{q}}
		ops := deletion(req, resolve(t, e.b, req))
		update := ops[0]
		update.Action, update.Columns, update.Set = backend.Update, []string{col + "v"}, [][]backend.Value{{nil}}
		WantEqual(t, name, execute(t, e.b, []backend.Operation{update, ops[0]}), []int64{1, 1})
		WantEqual(t, name, e.Dump(t, "SELECT * FROM "+quote(tab)), []string{"2|w"})
	}
	for _, name := range []string{"", "x\x00y"} {
		for _, q := range []backend.Query{
			{Entity: "bad", Table: table(name), KeyColumns: []string{"id"}, AnyOf: []backend.Match{identity("id", "", "1")}},
			{Entity: "bad", Table: table("person"), KeyColumns: []string{name}, AnyOf: []backend.Match{identity("id", "", "1")}},
			{Entity: "bad", Table: table("person"), KeyColumns: []string{"id"}, AnyOf: []backend.Match{identity(name, "", "1")}},
		} {
			_, err := e.b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{q}})
			wantError[*backend.RefusedError](t, err)
		}
	}
	e.unchanged(t, before)
}

// testFailure executes the deletion of subject 1 under conditions that make it fail, and again when they are over.
func testFailure(t *testing.T, e *env, b backend.Backend, over func()) {
	t.Helper()
	before := e.dump(t)
	req := subject("1")
	ops := deletion(req, resolve(t, b, req))
	_, err := b.Execute(ctx, backend.Batch{Operations: ops})
	wantError[*backend.UnavailableError](t, err)
	over()
	e.unchanged(t, before)
	WantEqual(t, "affected afterwards", execute(t, b, ops), []int64{2, 3, 2, 1})
}

func testLock(t *testing.T, e *env) {
	b := e.Open(t, Limits{LockTimeout: 100 * time.Millisecond})
	testFailure(t, e, b, e.Lock(t, "person"))
}

func testTimeout(t *testing.T, e *env) {
	before := e.dump(t)
	e.Slow(t, "application")
	b := e.Open(t, Limits{StatementTimeout: 200 * time.Millisecond})
	req := subject("1")
	ops := deletion(req, resolve(t, b, req))
	_, err := b.Execute(ctx, backend.Batch{Operations: ops})
	wantError[*backend.UnavailableError](t, err)
	e.unchanged(t, before)
	resolve(t, b, req) // the connection is good or replaced
}

func testCancel(t *testing.T, e *env) {
	before := e.dump(t)
	e.Slow(t, "person")
	req := subject("1")
	ops := deletion(req, resolve(t, e.b, req))
	c, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	_, err := e.b.Execute(c, backend.Batch{Operations: ops})
	wantError[*backend.UnavailableError](t, err)
	e.unchanged(t, before)
	_, err = e.b.Resolve(c, req)
	wantError[*backend.UnavailableError](t, err)
	_, err = e.b.Verify(c, ops)
	wantError[*backend.UnavailableError](t, err)
	resolve(t, e.b, req)
	// Between the permission and the effect.
	c, cancel = context.WithCancel(ctx)
	_, err = e.b.Execute(c, backend.Batch{Operations: ops[:2], BeforeEffect: func(context.Context) error { cancel(); return nil }})
	wantError[*backend.UnavailableError](t, err)
	e.unchanged(t, before)
	WantEqual(t, "affected afterwards", execute(t, e.b, ops[:2]), []int64{2, 3})
}

func testBreak(t *testing.T, e *env) {
	mend := e.Break(t, "person")
	if mend == nil {
		t.Log("an embedded engine has no connection to lose; the test with a cancelled call ends its statements half-way")
		return
	}
	testFailure(t, e, e.b, mend)
}

func testForbid(t *testing.T, e *env) {
	before := e.dump(t)
	req := subject("1")
	ops := deletion(req, resolve(t, e.b, req))
	if !e.Forbid(t, "person") {
		t.Log("the engine has no rights within a database")
		return
	}
	_, err := e.b.Execute(ctx, backend.Batch{Operations: ops})
	wantError[*backend.RefusedError](t, err, "person", "grant")
	e.unchanged(t, before)
}

func testStop(t *testing.T, e *env) {
	req := subject("1")
	ops := deletion(req, resolve(t, e.b, req))
	start := e.Stop(t)
	if start == nil {
		t.Log("an embedded engine has no server")
		return
	}
	_, err := e.b.Resolve(ctx, req)
	wantError[*backend.UnavailableError](t, err)
	_, err = e.b.Execute(ctx, backend.Batch{Operations: ops})
	wantError[*backend.UnavailableError](t, err)
	_, err = e.b.Verify(ctx, ops)
	wantError[*backend.UnavailableError](t, err)
	_, err = e.b.Describe(ctx)
	wantError[*backend.UnavailableError](t, err)
	start()
	// It goes with all changes made and none committed.
	before := e.dump(t)
	_, err = e.b.Execute(ctx, backend.Batch{Operations: ops, BeforeEffect: func(context.Context) error { start = e.Stop(t); return nil }})
	wantError[*backend.UnavailableError](t, err)
	start()
	e.unchanged(t, before)
	wantLeft(t, e.b, ops, 2, 3, 2, 1)
	WantEqual(t, "affected afterwards", execute(t, e.b, ops), []int64{2, 3, 2, 1})
}

func testConcurrent(t *testing.T, e *env) {
	const n = 16
	for i := range n {
		e.Exec(t, `INSERT INTO person (id, tenant) VALUES ($1, 7)`, fmt.Sprint("c", i))
		e.Exec(t, `INSERT INTO application (id, person_id) VALUES ($1, $2)`, 1000+i, fmt.Sprint("c", i))
		e.Exec(t, `INSERT INTO note VALUES ($1, 1, 'n')`, 1000+i)
	}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			req := subject(fmt.Sprint("c", i))
			res, err := e.b.Resolve(ctx, req)
			if err != nil {
				t.Errorf("Resolve: %v", err)
				return
			}
			ops := deletion(req, res)
			got, err := e.b.Execute(ctx, backend.Batch{Operations: ops})
			if err != nil || !slices.Equal(got.Affected, []int64{0, 1, 1, 1}) {
				t.Errorf("Execute: %v, %v", got, err)
			}
			if left, err := e.b.Verify(ctx, ops); err != nil || !slices.Equal(left, []int64{0, 0, 0, 0}) {
				t.Errorf("Verify: %v, %v", left, err)
			}
		})
	}
	wg.Wait()
	WantEqual(t, "left", e.Dump(t, "SELECT id FROM person WHERE tenant = 7"), []string(nil))
}

func testVerify(t *testing.T, e *env) {
	req := subject("1")
	ops := deletion(req, resolve(t, e.b, req))
	execute(t, e.b, ops)
	e.Exec(t, `INSERT INTO person (id, tenant, name) VALUES ('1', 1, 'came back')`)
	wantLeft(t, e.b, ops, 0, 0, 0, 1)
	e.Exec(t, `INSERT INTO application (id, person_id) VALUES (100, '1')`)
	wantLeft(t, e.b, ops, 0, 0, 1, 1)
	update := []backend.Operation{{Entity: "person", Action: backend.Update, Table: table("person"), KeyColumns: []string{"id"},
		Keys: e.keys("1", "10", "gone"), Columns: []string{"name", "alias"},
		Set: [][]backend.Value{{nil, nil}, {e.value("Bob"), e.value("ann@example.com")}, {nil, nil}}}}
	wantLeft(t, e.b, update, 1)
}

func testConstraint(t *testing.T, e *env) {
	e.Exec(t, `CREATE UNIQUE INDEX person_email ON person (email)`)
	before := e.dump(t)
	for _, c := range []struct {
		column string
		value  backend.Value
	}{{"email", e.value("bob@example.com")}, {"tenant", nil}} {
		op := backend.Operation{Entity: "person", Action: backend.Update, Table: table("person"), KeyColumns: []string{"id"},
			Keys: e.keys("1"), Columns: []string{c.column}, Set: [][]backend.Value{{c.value}}}
		_, err := e.b.Execute(ctx, backend.Batch{Operations: []backend.Operation{op}})
		wantError[*backend.RefusedError](t, err, "person")
	}
	e.unchanged(t, before)
}
