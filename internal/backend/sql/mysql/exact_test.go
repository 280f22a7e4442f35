package mysql_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/backendtest"
)

// alike are groups of texts that one collation or another takes for the same, or that become the same number.
var alike = []string{
	"a", "A", "á", "Á", "ä", "a ", "a  ", " a", "a\t", "a\x00", "ａ", "а", "ª", "ae", "æ", "ß", "ss", "SS", "s", "ſ", "k", "K", "\u212A", "i", "I", "ı", "İ",
	"1", "1 ", "01", "1x", "1.0", "1e0", "+1", "10", "１", "①", "-0", "0", "", "x", "e\u0301", "é", "o'b", `o\'b`, `o\b`, "a_b", "a%b", "aXb",
	"0x31", "true", "NULL", "👩", "👨", "\u200Ba", "a\u00AD", "straße", "strasse", "STRASSE", "Ⅳ", "IV",
}

func find(t *testing.T, b backend.Backend, table, key string, m backend.Match) []string {
	t.Helper()
	res, err := b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{{Entity: "e", Table: backend.Table{Name: table},
		KeyColumns: []string{key}, AnyOf: []backend.Match{m}}}})
	if err != nil {
		t.Fatalf("Resolve %+v: %v", m, err)
	}
	var keys []string
	for _, r := range res.Rows["e"] {
		keys = append(keys, r.Key[0])
	}
	return keys
}

func identity(column string, n backend.Normalization, values ...string) backend.Match {
	return backend.Match{Identity: &backend.IdentityMatch{Column: column, Values: values, Normalize: n}}
}

// Whatever a column's collation takes for the same: only the very text is found, updated and deleted.
func TestCollations(t *testing.T) {
	for _, collation := range []string{"utf8mb4_general_ci", "utf8mb4_unicode_ci", "utf8mb4_unicode_520_ci", "utf8mb4_bin", "utf8mb4_nopad_bin",
		"utf8mb4_turkish_ci", "utf8mb4_german2_ci", "utf8mb3_general_ci", "utf8mb4_uca1400_ai_ci", "utf8mb4_uca1400_as_cs", "ucs2_general_ci", "latin1_swedish_ci", "latin1_german1_ci", "latin1_bin"} {
		t.Run(collation, func(t *testing.T) {
			d := newDatabase(t)
			charset, _, _ := strings.Cut(collation, "_")
			d.Exec(t, fmt.Sprintf("CREATE TABLE e (id BIGINT PRIMARY KEY, v VARCHAR(50) CHARACTER SET %s COLLATE %s, note VARCHAR(50), KEY (v))", charset, collation))
			var stored []string
			for _, v := range alike {
				if _, err := d.app.ExecContext(ctx, "INSERT INTO e VALUES (?, ?, 'n')", len(stored), v); err == nil { // what the character set has
					stored = append(stored, v)
				}
			}
			if len(stored) < 30 {
				t.Fatalf("%d texts stored", len(stored))
			}
			b := d.Open(t, backendtest.Limits{})
			for _, v := range alike {
				var want []string
				if i := slices.Index(stored, v); i >= 0 {
					want = []string{fmt.Sprint(i)}
				}
				wantEqual(t, fmt.Sprintf("identity %q", v), find(t, b, "e", "id", identity("v", backend.None, v)), want)
				values := backend.Match{Values: &backend.ValuesMatch{Columns: []string{"v", "note"}, Rows: [][]string{{v, "n"}, {v, "N"}}}}
				wantEqual(t, fmt.Sprintf("values %q", v), find(t, b, "e", "id", values), want)
			}
			eachAlone(t, d, b, stored)
		})
	}
}

// eachAlone updates and deletes each row by its text as the key.
func eachAlone(t *testing.T, d *database, b backend.Backend, stored []string) {
	t.Helper()
	op := backend.Operation{Entity: "e", Table: backend.Table{Name: "e"}, KeyColumns: []string{"v"}}
	for i, v := range stored {
		op.Action, op.Keys, op.Columns, op.Set = backend.Update, []backend.Key{{v}}, []string{"note"}, [][]backend.Value{{b.FromText(fmt.Sprint("N", i))}}
		if got, err := b.Execute(ctx, backend.Batch{Operations: []backend.Operation{op}}); err != nil || got.Affected[0] != 1 {
			t.Fatalf("update %q: %+v, %v", v, got, err)
		}
	}
	wantEqual(t, "notes", len(d.Dump(t, "SELECT * FROM e WHERE note = concat('N', id)")), len(stored))
	op.Action, op.Columns, op.Set = backend.Delete, nil, nil
	for i, v := range stored {
		op.Keys = []backend.Key{{v}}
		if got, err := b.Execute(ctx, backend.Batch{Operations: []backend.Operation{op}}); err != nil || got.Affected[0] != 1 {
			t.Fatalf("delete %q: %+v, %v", v, got, err)
		}
		wantEqual(t, "left", len(d.Dump(t, "SELECT * FROM e")), len(stored)-1-i)
	}
	op.Keys = nil
	for _, v := range alike { // what the character set has not must fail on nothing
		op.Keys = append(op.Keys, backend.Key{v})
	}
	if got, err := b.Execute(ctx, backend.Batch{Operations: []backend.Operation{op}}); err != nil || got.Affected[0] != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

var wantEqual = backendtest.WantEqual

// Lower case means the same whatever the collation, and whether an index serves or not.
func TestLowerCase(t *testing.T) {
	for _, collation := range []string{"utf8mb4_general_ci", "utf8mb4_bin", "utf8mb4_turkish_ci", "utf8mb4_uca1400_ai_ci", "latin1_swedish_ci"} {
		t.Run(collation, func(t *testing.T) {
			d := newDatabase(t)
			charset, _, _ := strings.Cut(collation, "_")
			d.Exec(t, fmt.Sprintf("CREATE TABLE e (id VARCHAR(20) PRIMARY KEY, v VARCHAR(50) CHARACTER SET %s COLLATE %s, KEY (v))", charset, collation))
			d.Exec(t, "INSERT INTO e VALUES ('plain', 'ida@x.de'), ('upper', 'IDA@X.DE'), ('accent', 'ÍDA@x.de'), ('space', 'ida@x.de '), ('umlaut', 'MÜLLER@x.de'), ('longer', 'ida@x.dex')")
			b := d.Open(t, backendtest.Limits{})
			lower := func(n backend.Normalization, values ...string) []string {
				return find(t, b, "e", "id", identity("v", n, values...))
			}
			wantEqual(t, "ASCII", lower(backend.LowerCase, "Ida@x.de"), []string{"plain", "upper"})
			wantEqual(t, "trimmed", lower(backend.TrimLowerCase, "\tIda@x.de"), []string{"plain", "space", "upper"})
			wantEqual(t, "accent", lower(backend.LowerCase, "ída@x.de"), []string{"accent"})
			wantEqual(t, "umlaut", lower(backend.LowerCase, "müller@X.de", "nobody"), []string{"umlaut"})
			wantEqual(t, "without umlaut", lower(backend.LowerCase, "muller@x.de"), []string(nil))
		})
	}
}

// Text that looks like a number, and the other way round.
func TestCoercions(t *testing.T) {
	d := newDatabase(t)
	d.Exec(t, `CREATE TABLE e (id BIGINT PRIMARY KEY, i INT, u BIGINT UNSIGNED, b BIGINT, d DECIMAL(20,4), f FLOAT, g DOUBLE, y YEAR, o BIT(10), t VARCHAR(20),
		dt DATETIME(3), ts TIMESTAMP NULL, da DATE, ti TIME(2), en ENUM('1', 'b', 'c'), se SET('x', 'y'), vb VARBINARY(20), fb BINARY(4), bo BOOLEAN, uu UUID, ip INET6)`)
	d.Exec(t, `INSERT INTO e VALUES (1, 1, 18446744073709551615, 9007199254740993, 1.5, 0.1, 0.1, 2024, 5, '1', '2024-03-01 07:00:00.5', '2024-03-01 07:00:00',
		'2024-03-01', '-12:30:00.25', 'b', 'x,y', 'abc', 'ab', TRUE, '123e4567-e89b-12d3-a456-426655440000', '::1'),
		(2, 10, 18446744073709551614, 9007199254740992, 1.5001, 0.2, 0.30000000000000004, 1999, 6, '1x', NULL, NULL, NULL, NULL, '1', 'x', 'ABC', 'AB', FALSE, NULL, NULL)`)
	b := d.Open(t, backendtest.Limits{})
	for _, c := range []struct {
		column, value string
		want          []string
		refused       bool
	}{
		{"i", "1", []string{"1"}, false}, {"i", "01", []string{"1"}, false}, {"i", "1x", nil, true}, {"i", "1.0", nil, true}, {"i", " 1", nil, true}, {"i", "", nil, true}, {"i", "1_0", nil, true},
		{"u", "18446744073709551615", []string{"1"}, false}, {"u", "18446744073709551616", nil, true}, {"u", "-1", nil, true},
		{"b", "9007199254740993", []string{"1"}, false}, {"b", "9007199254740992", []string{"2"}, false},
		{"d", "1.5", []string{"1"}, false}, {"d", "1.50010", []string{"2"}, false}, {"d", "1.50001", nil, false}, {"d", "1.5" + strings.Repeat("0", 60), []string{"1"}, false},
		{"d", "1.5" + strings.Repeat("0", 60) + "1", nil, true}, {"d", "1,5", nil, true}, {"d", ".", nil, true},
		{"f", "0.1", []string{"1"}, false}, {"g", "0.1", []string{"1"}, false}, {"g", "0.30000000000000004", []string{"2"}, false}, {"g", "0.3", nil, false}, {"g", "0x1p-2", nil, true},
		{"y", "2024", []string{"1"}, false}, {"y", "24", nil, false}, {"o", "5", []string{"1"}, false}, {"o", "b101", nil, true},
		{"t", "1", []string{"1"}, false}, {"t", "1x", []string{"2"}, false}, {"t", "1.0", nil, false}, {"t", "0", nil, false},
		{"dt", "2024-03-01 07:00:00.500", []string{"1"}, false}, {"dt", "2024-03-01T08:00:00.5+01:00", []string{"1"}, false}, {"dt", "2024-03-01 07:00:00.5001", nil, false},
		{"dt", "2024-03-01", nil, false}, {"dt", "2024-02-30", nil, true}, {"dt", "20240301070000", nil, true}, {"dt", "0000-00-00", nil, false}, {"dt", "2024-03-01 07:00:00.5000001", nil, true},
		{"ts", "2024-03-01 07:00:00", []string{"1"}, false}, {"da", "2024-03-01", []string{"1"}, false}, {"da", "2024-03-01 00:00:01", nil, false},
		{"ti", "-12:30:00.25", []string{"1"}, false}, {"ti", "123000", nil, true},
		{"en", "b", []string{"1"}, false}, {"en", "1", []string{"2"}, false}, {"en", "2", nil, false}, {"en", "B", nil, false}, {"se", "x,y", []string{"1"}, false}, {"se", "3", nil, false},
		{"vb", "abc", []string{"1"}, false}, {"vb", `\x616263`, []string{"1"}, false}, {"vb", "ABC", []string{"2"}, false}, {"fb", `\x61620000`, []string{"1"}, false}, {"fb", "ab", nil, false},
		{"bo", "1", []string{"1"}, false}, {"bo", "true", nil, true},
		{"uu", "123E4567-e89b-12d3-a456-426655440000", []string{"1"}, false}, {"uu", "nonsense", nil, false}, {"ip", "::1", []string{"1"}, false}, {"ip", "0:0:0:0:0:0:0:1", []string{"1"}, false},
	} {
		t.Run(c.column+" "+c.value, func(t *testing.T) {
			res, err := b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{{Entity: "e", Table: backend.Table{Name: "e"}, KeyColumns: []string{"id"},
				AnyOf: []backend.Match{identity(c.column, backend.None, c.value)}}}})
			var refused *backend.RefusedError
			if c.refused != errors.As(err, &refused) || !c.refused && err != nil {
				t.Fatalf("refused should be %t: %v", c.refused, err)
			}
			if c.refused {
				if len(c.value) > 2 && strings.Contains(err.Error(), c.value) {
					t.Errorf("the error %q holds the value", err)
				}
				return
			}
			var keys []string
			for _, r := range res.Rows["e"] {
				keys = append(keys, r.Key[0])
			}
			wantEqual(t, "keys", keys, c.want)
		})
	}
}

// Every type comes back as it was, and what it was expected to be is recognised.
func TestTypes(t *testing.T) {
	d := newDatabase(t)
	d.Exec(t, `CREATE TABLE e (id BIGINT PRIMARY KEY, ti TINYINT, z INT(8) ZEROFILL, u BIGINT UNSIGNED, d DECIMAL(65,30), w DECIMAL(65,0), f FLOAT, fd FLOAT(10,2), g DOUBLE, gd DOUBLE(12,3),
		y YEAR, o BIT(64), c CHAR(5), v VARCHAR(20) COLLATE utf8mb4_general_ci, l VARCHAR(20) CHARACTER SET latin1, m LONGTEXT, dt DATETIME(6), ds DATETIME, ts TIMESTAMP(3) NULL, da DATE, h TIME(6), en ENUM('a', 'B'),
		se SET('x', 'y'), vb VARBINARY(300), fb BINARY(4), bl LONGBLOB, j JSON, p POINT, uu UUID, ip INET6)`)
	d.Exec(t, "SET sql_mode = 'ANSI'") // zero dates and what overflows
	d.Exec(t, `INSERT INTO e VALUES (1, -128, 42, 18446744073709551615, 12345678901234567890123456789012345.123456789012345678901234567891, 99999999999999999999999999999999999999999999999999999999999999999,
		0.1, 0.1, 1.7976931348623157e308, 1.0005, 2024, b'1111111111111111111111111111111111111111111111111111111111111111', 'ab', 'Straße👩', 'Müller', repeat('é''"\\', 5000), '2024-02-29 23:59:59.123456',
		'2024-02-29 23:59:59', '2024-10-27 01:30:00.123', '0001-01-01', '-838:59:59.000000', 'B', 'x,y', x'00ff', x'00', repeat(x'00ff80', 5000), '{"a" : [1, 1.50]}', ST_GeomFromText('POINT(1 2)', 4326),
		'123e4567-e89b-12d3-a456-426655440000', '2001:db8::1'),
		(2, 0, 0, 0, -0.000000000000000000000000000001, -1, 16777217, 3.14159, 5e-324, -2.5, 0, b'0', '', '', '', '', '0000-00-00 00:00:00', '2024-00-00 00:00:00', NULL, '0000-00-00', '00:00:00.000001', 'a', '', '', x'ffffffff', '', '"x"', NULL, NULL, '::'),
		(3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)`)
	b := d.Open(t, backendtest.Limits{})
	columns := []string{"ti", "z", "u", "d", "w", "f", "fd", "g", "gd", "y", "o", "c", "v", "l", "m", "dt", "ds", "ts", "da", "h", "en", "se", "vb", "fb", "bl", "j", "p", "uu", "ip"}
	q := backend.Query{Entity: "e", Table: backend.Table{Name: "e"}, KeyColumns: []string{"id"}, Columns: columns,
		AnyOf: []backend.Match{identity("id", backend.None, "1", "2", "3")}}
	rows := func() []backend.Row {
		res, err := b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{q}})
		if err != nil || len(res.Rows["e"]) != 3 {
			t.Fatalf("%v, %v", res, err)
		}
		return res.Rows["e"]
	}
	before, dump := rows(), d.Dump(t, "SELECT * FROM e ORDER BY id")
	wantEqual(t, "of FLOAT", b.Text(before[1].Values[5]), "16777216")
	wantEqual(t, "of ZEROFILL", b.Text(before[0].Values[1]), "42")
	// The columns one after the other, so that one that is wrong is named.
	for i, column := range columns {
		hide := backend.Operation{Entity: column, Action: backend.Update, Table: q.Table, KeyColumns: q.KeyColumns, Columns: []string{column}}
		hidden := 0
		for _, r := range before {
			if r.Values[i] != nil {
				hidden++
			}
			hide.Keys, hide.Set, hide.Expect = append(hide.Keys, r.Key), append(hide.Set, []backend.Value{nil}), append(hide.Expect, []backend.Value{r.Values[i]})
		}
		show := hide
		show.Set, show.Expect = hide.Expect, hide.Set
		same := show
		same.Expect = same.Set
		for n, step := range []struct {
			op   backend.Operation
			want int
		}{{same, 0}, {hide, hidden}, {hide, 0}, {show, hidden}, {show, 0}} {
			got, err := b.Execute(ctx, backend.Batch{Operations: []backend.Operation{step.op}})
			if err != nil || got.Affected[0] != int64(step.want) {
				t.Fatalf("column %s, step %d: %+v, %v, want %d", column, n, got, err, step.want)
			}
		}
	}
	wantEqual(t, "restored", d.Dump(t, "SELECT * FROM e ORDER BY id"), dump)
	wantEqual(t, "read", rows(), before)
}

// What an update must not leave is refused, and not cut or guessed.
func TestMisfits(t *testing.T) {
	d := newDatabase(t)
	d.Exec(t, "CREATE TABLE e (id BIGINT PRIMARY KEY, i TINYINT, d DECIMAL(5,2), v VARCHAR(5), l VARCHAR(5) CHARACTER SET latin1, da DATE, en ENUM('a', 'b'), c INT CHECK (c < 5), n INT NOT NULL)")
	d.Exec(t, "INSERT INTO e VALUES (1, 1, 1, 'v', 'l', '2024-01-01', 'a', 1, 1)")
	before := d.Dump(t, "SELECT * FROM e")
	b := d.Open(t, backendtest.Limits{})
	for _, c := range []struct{ column, value string }{
		{"i", "300"}, {"i", "1.5"}, {"i", "canary"}, {"d", "12345.1"}, {"v", "canary"}, {"l", "ж"}, {"da", "2024-02-30"}, {"en", "canary"}, {"c", "9"}, {"n", "NULL"}, {"id", "canary"},
	} {
		op := backend.Operation{Entity: "e", Action: backend.Update, Table: backend.Table{Name: "e"}, KeyColumns: []string{"id"}, Keys: []backend.Key{{"1"}},
			Columns: []string{c.column}, Set: [][]backend.Value{{b.FromText(c.value)}}}
		if c.value == "NULL" {
			op.Set[0][0] = nil
		}
		_, err := b.Execute(ctx, backend.Batch{Operations: []backend.Operation{op}})
		var refused *backend.RefusedError
		if !errors.As(err, &refused) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s = %s: %v", c.column, c.value, err)
		}
	}
	wantEqual(t, "rows", d.Dump(t, "SELECT * FROM e"), before)
	op := backend.Operation{Entity: "e", Action: backend.Update, Table: backend.Table{Name: "e"}, KeyColumns: []string{"id"}, Keys: []backend.Key{{"1"}},
		Columns: []string{"d"}, Set: [][]backend.Value{{b.FromText("1.239")}}}
	for n := range 2 { // is rounded, and the same then
		if got, err := b.Execute(ctx, backend.Batch{Operations: []backend.Operation{op}}); err != nil || got.Affected[0] != int64(1-n) {
			t.Errorf("rounded: %+v, %v", got, err)
		}
	}
	wantEqual(t, "rounded", d.Dump(t, "SELECT d FROM e"), []string{"1.24"})
}
