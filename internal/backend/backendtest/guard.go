package backendtest

import (
	"fmt"
	"testing"

	"github.com/lethe-dev/lethe/internal/backend"
)

// dependents makes a table that refers to person, with rows of the subject 1 and of others.
func (e *env) dependents(t *testing.T, action string) {
	t.Helper()
	e.Exec(t, `CREATE TABLE card (id BIGINT PRIMARY KEY, person_id `+e.Dialect().KeyText+` DEFAULT '10' REFERENCES person (id) ON DELETE `+action+`, label TEXT)`)
	e.Exec(t, `INSERT INTO card VALUES (1, '1', 'canary'), (2, '1', 'canary'), (3, '10', 'canary'), (4, NULL, 'canary')`)
}

func (e *env) cards(t *testing.T) []string { return e.Dump(t, "SELECT * FROM card ORDER BY id") }

func cards(b backend.Backend, ids ...string) backend.Operation {
	op := backend.Operation{Entity: "card", Action: backend.Delete, Table: table("card"), KeyColumns: []string{"id"}}
	for _, id := range ids {
		op.Keys = append(op.Keys, backend.Key{*b.FromText(id)})
	}
	return op
}

// testGuard: what the plan does not name must not go or change by a foreign key.
func testGuard(t *testing.T, e *env) {
	for _, c := range []struct{ action, effect string }{{"CASCADE", "delete"}, {"SET NULL", "change"}, {"SET DEFAULT", "change"}} {
		if c.action == "SET DEFAULT" && !e.Dialect().SetDefault {
			continue
		}
		t.Run(c.action, func(t *testing.T) {
			e.dependents(t, c.action)
			defer e.Exec(t, "DROP TABLE card")
			req := subject("1")
			ops := deletion(req, resolve(t, e.b, req))
			before, others := e.dump(t), e.cards(t)
			for _, planned := range [][]string{nil, {"1"}, {"1", "3", "4"}} {
				some := append([]backend.Operation{cards(e.b, planned...)}, ops...)
				_, err := e.b.Execute(ctx, backend.Batch{Operations: some})
				wantError[*backend.StaleError](t, err, "entity person", "card", "person_id", c.effect)
				e.unchanged(t, before)
				WantEqual(t, "cards", e.cards(t), others)
			}
			// The database must not do what a later operation is planned to do either, but where both delete.
			unlink := cards(e.b, "1", "2")
			unlink.Action, unlink.Columns, unlink.Set = backend.Update, []string{"person_id"}, [][]backend.Value{{nil}, {nil}}
			_, err := e.b.Execute(ctx, backend.Batch{Operations: append(append([]backend.Operation{}, ops...), unlink)})
			wantError[*backend.StaleError](t, err, "entity person")
			WantEqual(t, "cards", e.cards(t), others)
		})
	}
}

func testGuardPlanned(t *testing.T, e *env) {
	for i, action := range []string{"CASCADE", "SET NULL"} {
		for j, way := range []string{"deleted", "unlinked", "ignored", "deleted later"} {
			t.Run(action+" "+way, func(t *testing.T) {
				id := fmt.Sprintf("p%d%d", i, j)
				e.dependents(t, action)
				defer e.Exec(t, "DROP TABLE card")
				e.Exec(t, `INSERT INTO person (id, tenant) VALUES ($1, 1)`, id)
				e.Exec(t, `UPDATE card SET person_id = $1 WHERE id < 3`, id)
				batch := backend.Batch{Operations: []backend.Operation{{Entity: "person", Action: backend.Delete, Table: table("person"),
					KeyColumns: []string{"id"}, Keys: e.keys(id)}}}
				card, want := cards(e.b, "1", "2"), []string{"3|10|canary", "4|NULL|canary"}
				switch way {
				case "deleted":
					batch.Operations = append([]backend.Operation{card}, batch.Operations...)
				case "deleted later":
					batch.Operations = append(batch.Operations, card)
				case "unlinked":
					card.Action, card.Columns, card.Set = backend.Update, []string{"person_id"}, [][]backend.Value{{nil}, {nil}}
					batch.Operations = append([]backend.Operation{card}, batch.Operations...)
					want = append([]string{"1|NULL|canary", "2|NULL|canary"}, want...)
				case "ignored":
					batch.Ignored = []backend.Table{table("card")}
					if action == "CASCADE" {
						_, err := e.b.Execute(ctx, batch)
						wantError[*backend.StaleError](t, err, "person", "card")
						return
					}
					want = append([]string{"1|NULL|canary", "2|NULL|canary"}, want...)
				}
				if _, err := e.b.Execute(ctx, batch); err != nil {
					t.Fatal(err)
				}
				WantEqual(t, "cards", e.cards(t), want)
				WantEqual(t, "people", e.Dump(t, "SELECT * FROM person WHERE id = '"+id+"'"), []string(nil))
				if _, err := e.b.Execute(ctx, batch); err != nil {
					t.Errorf("doing it again: %v", err)
				}
			})
		}
	}
}

// testGuardSelf: a table refers to itself, in more rows than a statement takes.
func testGuardSelf(t *testing.T, e *env) {
	for _, c := range []struct {
		action      string
		rows, batch int
	}{{"CASCADE", 25, 3}, {"SET NULL", 25, 3}, {"CASCADE", 1200, 0}, {"SET NULL", 1200, 0}} {
		t.Run(fmt.Sprint(c.action, c.rows), func(t *testing.T) {
			e.Exec(t, `CREATE TABLE chain (a BIGINT, b `+e.Dialect().Text+`, up BIGINT, `+e.Dialect().LongKey([]string{"a"}, []string{"b"})+`, UNIQUE (a),
				FOREIGN KEY (up) REFERENCES chain (a) ON DELETE `+c.action+`)`)
			e.Exec(t, `CREATE TABLE leaf (id BIGINT PRIMARY KEY, up BIGINT REFERENCES chain (a) ON DELETE CASCADE)`)
			defer e.Exec(t, "DROP TABLE chain")
			defer e.Exec(t, "DROP TABLE leaf")
			b := e.Open(t, Limits{BatchSize: c.batch})
			op := backend.Operation{Entity: "chain", Action: backend.Delete, Table: table("chain"), KeyColumns: []string{"a", "b"}}
			for i := range c.rows {
				e.Exec(t, `INSERT INTO chain (a, b) VALUES ($1, $2)`, i, nasty[i%len(nasty)])
			}
			e.Exec(t, `UPDATE chain SET up = $1 - a WHERE a > 0`, c.rows)
			res := resolve(t, b, backend.ResolveRequest{Queries: []backend.Query{{Entity: "chain", Table: op.Table, KeyColumns: op.KeyColumns,
				AnyOf: []backend.Match{identity("a", backend.None, numbers(c.rows)...)}}}})
			for _, r := range res.Rows["chain"] {
				op.Keys = append(op.Keys, r.Key)
			}
			WantEqual(t, "found", len(op.Keys), c.rows)
			execute := func() error {
				_, err := b.Execute(ctx, backend.Batch{Operations: []backend.Operation{op}})
				return err
			}
			for _, s := range []string{`INSERT INTO chain VALUES (-1, 'canary', 2)`, `INSERT INTO leaf VALUES (-1, 7)`} {
				e.Exec(t, s)
				wantError[*backend.StaleError](t, execute(), "chain", "up")
				WantEqual(t, "rows", e.Dump(t, "SELECT (SELECT count(*) FROM chain WHERE a >= 0), (SELECT count(*) FROM leaf)"),
					[]string{fmt.Sprintf("%d|%s", c.rows, e.Dump(t, "SELECT count(*) FROM leaf")[0])})
				e.Exec(t, `UPDATE chain SET up = NULL WHERE a < 0`)
				e.Exec(t, `UPDATE leaf SET up = NULL`)
			}
			if err := execute(); err != nil {
				t.Fatal(err)
			}
			WantEqual(t, "left", e.Dump(t, "SELECT a, b, up FROM chain"), []string{"-1|canary|NULL"})
			WantEqual(t, "leaves", e.Dump(t, "SELECT * FROM leaf"), []string{"-1|NULL"})
		})
	}
}

func numbers(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprint(i)
	}
	return list
}

// testGuardChanged: the foreign key is dropped while its facts are known.
func testGuardChanged(t *testing.T, e *env) {
	e.dependents(t, "CASCADE")
	req := subject("1")
	ops := deletion(req, resolve(t, e.b, req))
	_, err := e.b.Execute(ctx, backend.Batch{Operations: ops})
	wantError[*backend.StaleError](t, err, "card")
	e.Exec(t, `CREATE TABLE kept AS SELECT * FROM card`)
	e.Exec(t, `DROP TABLE card`)
	e.Exec(t, `ALTER TABLE kept RENAME TO card`)
	WantEqual(t, "affected", execute(t, e.b, ops), []int64{2, 3, 2, 1})
	WantEqual(t, "cards", len(e.cards(t)), 4)
}
