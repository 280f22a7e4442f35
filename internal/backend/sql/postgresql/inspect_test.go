package postgresql_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/internal/backend"
)

func TestInspectTellsIndexesOfElements(t *testing.T) {
	d := newDatabase(t)
	for _, statement := range strings.Split(`CREATE TABLE crew (id int PRIMARY KEY, a int[], b int[], c text[], d text[], doc jsonb, "e E" uuid[]);
		CREATE INDEX ON crew USING gin (b, "e E");
		CREATE INDEX ON crew (a);
		CREATE INDEX ON crew USING gin (c) WHERE id > 5;
		CREATE INDEX ON crew USING gin ((d || c));
		CREATE INDEX ON crew USING gin (doc)`, ";") {
		d.Exec(t, statement)
	}
	s, err := d.open(t, config(d.name)).(backend.Inspector).Inspect(ctx, []backend.Table{{Name: "crew"}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b", "e E"}, s.Tables[0].ElementIndexed); diff != "" {
		t.Errorf("array columns whose elements an index finds (-want +got):\n%s", diff)
	}
}

func TestInspectTellsFoldedIndexesAndRows(t *testing.T) {
	d := newDatabase(t)
	for _, statement := range strings.Split(`CREATE TABLE mail (id int PRIMARY KEY, tenant int, "eMail" varchar(100), plain text);
		CREATE INDEX ON mail (lower("eMail"));
		CREATE INDEX ON mail (tenant, lower(plain), id);
		CREATE INDEX ON mail (lower(btrim(plain, E' \t\n\x0B\f\r')));
		CREATE INDEX ON mail (lower(btrim(plain)));
		CREATE INDEX ON mail (upper(plain));
		CREATE INDEX ON mail (lower(plain)) WHERE tenant = 5;
		INSERT INTO mail SELECT i, i, 'x', 'y' FROM generate_series(1, 500) i;
		CREATE TABLE part (id int) PARTITION BY RANGE (id);
		CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (100);
		INSERT INTO part SELECT 1 FROM generate_series(1, 70);
		CREATE TABLE fresh (id int);
		ANALYZE mail; ANALYZE part_1`, ";") {
		d.Exec(t, statement)
	}
	s, err := d.open(t, config(d.name)).(backend.Inspector).Inspect(ctx, []backend.Table{{Name: "mail"}, {Name: "part"}, {Name: "fresh"}})
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]int64{}
	for _, i := range s.Tables {
		rows[i.Table.Name] = i.Rows
		if i.Table.Name != "mail" {
			continue
		}
		want := []backend.FoldedIndex{
			{Column: "eMail", Normalize: backend.LowerCase, After: []string{}},
			{Column: "plain", Normalize: backend.LowerCase, After: []string{"tenant"}},
			{Column: "plain", Normalize: backend.TrimLowerCase, After: []string{}},
		}
		if diff := cmp.Diff(want, i.Folded); diff != "" {
			t.Error(diff)
		}
	}
	if diff := cmp.Diff(map[string]int64{"mail": 500, "part": 70, "fresh": -1}, rows); diff != "" {
		t.Error(diff)
	}
}

func TestInspectTellsTypesBehindDomains(t *testing.T) {
	d := newDatabase(t)
	for _, statement := range strings.Split(`CREATE DOMAIN mail AS varchar(50); CREATE DOMAIN mail2 AS mail; CREATE DOMAIN mails AS varchar(50)[]; CREATE DOMAIN mails2 AS mails;
		CREATE TABLE e (a varchar(50), b mail, c mail2, d mail[], e mails, f mails2, g mail2[], h char(3), i int[])`, ";") {
		d.Exec(t, statement)
	}
	s, err := d.open(t, config(d.name)).(backend.Inspector).Inspect(ctx, []backend.Table{{Name: "e"}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range s.Tables[0].Columns {
		got[c.Name] = c.Base
	}
	const one, many = "character varying", "character varying[]"
	if diff := cmp.Diff(map[string]string{"a": one, "b": one, "c": one, "d": many, "e": many, "f": many, "g": many, "h": "bpchar", "i": "integer[]"}, got); diff != "" {
		t.Errorf("types (-want +got):\n%s", diff)
	}
}
