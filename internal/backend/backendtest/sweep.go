package backendtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/internal/backend"
)

// SweepDatabase is a Database for sweeps.
type SweepDatabase interface {
	Database
	// Session opens another connection of the application and returns what runs a statement on it and tells how many rows it met.
	Session(t testing.TB) (exec func(statement string) (int64, error))
	// Sweeps tells what the database has that matters to sweeps.
	Sweeps() SweepKinds
}

// SweepKinds is what differs between databases in the suite of sweeps.
type SweepKinds struct {
	// Clocks are further types of columns that are read as points in time, such as dates and times with a zone.
	Clocks []string
	// NoClock is a type that is not, empty where there is none; Generated the end of the definition of a generated column.
	NoClock, Generated string
	// RowLocks is true where one session can lock single rows.
	RowLocks bool
}

// RunSweep runs the suite for databases that can sweep. fresh makes an empty database.
func RunSweep(t *testing.T, fresh func(t *testing.T) SweepDatabase) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, e *sweepEnv)
	}{
		{"a record is due at its cutoff and not before", testSweepEdges},
		{"conditions, keeps and scopes", testSweepKeep},
		{"clocks of parents and of children", testSweepPathClocks},
		{"pages have neither gaps nor repeats", testSweepPages},
		{"goes three levels deep, collects, and does what it counted", testSweepDeep},
		{"leads along references of several kinds", testSweepPolymorphic},
		{"writes once, and only what is not so yet", testSweepUpdate},
		{"updates one table alone", testSweepUpdateAlone},
		{"cuts links where the dependants stay", testSweepShallow},
		{"dependants outside their scope keep a record", testSweepStepScope},
		{"a schema that cascades", testSweepCascade},
		{"a foreign key deletes and changes nothing that no step names", testSweepGuard},
		{"who is held stays", testSweepHeld},
		{"only looks where there are no steps", testSweepLook},
		{"leaves to somebody else what fell due before", testSweepSince},
		{"nothing lasts without leave", testSweepBeforeEffect},
		{"locked records are left, and reported", testSweepLocked},
		{"is right beside an application that writes", testSweepConcurrent},
		{"splits into even ranges", testSweepSplit},
		{"collects without a change", testSweepCollect},
		{"explains records one by one", testSweepExplain},
		{"what the rule has wrong is refused by name", testSweepCheck},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := fresh(t)
			e := &sweepEnv{env: env{Database: db}, db: db}
			e.makeSweepTables(t)
			e.b = db.Open(t, Limits{})
			e.s = e.b.(backend.Sweeper)
			c.test(t, e)
		})
	}
}

type sweepEnv struct {
	env
	db SweepDatabase
	s  backend.Sweeper
}

func (e *sweepEnv) makeSweepTables(t *testing.T) {
	t.Helper()
	d := e.Dialect()
	for _, s := range []string{
		`CREATE TABLE vacancy (id BIGINT PRIMARY KEY, closed ` + d.Timestamp + `, state TEXT)`,
		`CREATE TABLE candidate (id BIGINT PRIMARY KEY, tenant BIGINT, vacancy_id BIGINT, email ` + d.KeyText + `, name TEXT, status TEXT, seen ` + d.Timestamp + `,
		 born ` + d.Timestamp + `, gone ` + d.Timestamp + `)`,
		`CREATE INDEX candidate_seen ON candidate (seen)`,
		`CREATE TABLE application (id BIGINT PRIMARY KEY, candidate_id BIGINT REFERENCES candidate (id), moved ` + d.Timestamp + `, title TEXT)`,
		`CREATE INDEX application_candidate ON application (candidate_id)`,
		`CREATE TABLE document (id BIGINT PRIMARY KEY, application_id BIGINT NOT NULL REFERENCES application (id), path TEXT, kind TEXT)`,
		`CREATE INDEX document_application ON document (application_id)`,
		`CREATE TABLE remark (id BIGINT PRIMARY KEY, item_type BIGINT, item_id BIGINT, body TEXT, made ` + d.Timestamp + `)`,
		`CREATE TABLE effects (tab TEXT NOT NULL)`,
	} {
		e.Exec(t, s)
	}
}

// The days of the suite.
var (
	sweepCutoff = time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	sweepNow    = time.Date(2024, 8, 29, 12, 0, 0, 0, time.UTC)
)

const (
	oldDay = "2023-01-31 08:00:00"
	newDay = "2024-07-01 08:00:00"
)

// people inserts candidates with the given times of seen, from id 1; empty is NULL.
func (e *sweepEnv) people(t *testing.T, seen ...string) {
	t.Helper()
	for i, s := range seen {
		e.Exec(t, fmt.Sprintf(`INSERT INTO candidate VALUES (%d, 1, NULL, 'canary%d@example.com', 'Ann', 'open', %s, '1980-05-17 00:00:00', NULL)`, i+1, i+1, quoted(s)))
	}
}

func quoted(s string) string {
	if s == "" {
		return "NULL"
	}
	return "'" + s + "'"
}

var (
	toApplication = backend.Hop{Table: table("application"), Columns: []string{"id"}, TargetColumns: []string{"candidate_id"}, Down: true}
	toDocument    = backend.Hop{Table: table("document"), Columns: []string{"id"}, TargetColumns: []string{"application_id"}, Down: true}
	id            = []string{"id"}
)

// candidates is a sweep that deletes candidates with all that belongs to them.
func candidates() *backend.Sweep {
	return &backend.Sweep{Table: table("candidate"), KeyColumns: id, Clock: backend.SweepClock{Column: "seen"}, Cutoff: sweepCutoff, Now: sweepNow,
		Steps: []backend.SweepStep{
			{Entity: "document", Table: table("document"), KeyColumns: id, Path: []backend.Hop{toApplication, toDocument}, Action: backend.Delete, Collect: []string{"path", "kind"}},
			{Entity: "application", Table: table("application"), KeyColumns: id, Path: []backend.Hop{toApplication}, Action: backend.Delete},
			{Entity: "candidate", Table: table("candidate"), KeyColumns: id, Action: backend.Delete},
		}}
}

// alone is a sweep of one table without dependants.
func alone(name, clock string) *backend.Sweep {
	return &backend.Sweep{Table: table(name), KeyColumns: id, Clock: backend.SweepClock{Column: clock}, Cutoff: sweepCutoff, Now: sweepNow,
		Steps: []backend.SweepStep{{Entity: name, Table: table(name), KeyColumns: id, Action: backend.Delete}}}
}

// check fails unless the store takes the sweep, and counts.
func (e *sweepEnv) count(t *testing.T, s *backend.Sweep) *backend.SweepCount {
	t.Helper()
	if err := e.s.CheckSweep(ctx, s); err != nil {
		t.Fatalf("CheckSweep: %v", err)
	}
	n, err := e.s.CountSweep(ctx, s)
	if err != nil {
		t.Fatalf("CountSweep: %v", err)
	}
	brief := *s
	brief.Brief = true
	fewer, err := e.s.CountSweep(ctx, &brief)
	if err != nil {
		t.Fatalf("CountSweep, briefly: %v", err)
	}
	WantEqual(t, "total and due, briefly", [2]int64{fewer.Total, fewer.Due}, [2]int64{n.Total, n.Due})
	return n
}

func (e *sweepEnv) batch(t *testing.T, s *backend.Sweep, b backend.SweepBatch) *backend.SweepResult {
	t.Helper()
	if b.Limit == 0 {
		b.Limit = 100
	}
	r, err := e.s.SweepBatch(ctx, s, b)
	if err != nil {
		t.Fatalf("SweepBatch: %v", err)
	}
	return r
}

// treated are the keys as text.
func (e *sweepEnv) treated(r *backend.SweepResult) string {
	var keys []string
	for _, k := range r.Keys {
		var parts []string
		for i := range k {
			parts = append(parts, e.b.Text(&k[i]))
		}
		keys = append(keys, strings.Join(parts, "/"))
	}
	return strings.Join(keys, " ")
}

func (e *sweepEnv) wantLeft(t *testing.T, name string, ids ...string) {
	t.Helper()
	var want []string
	want = append(want, ids...)
	WantEqual(t, "left in "+name, e.Dump(t, "SELECT id FROM "+name+" ORDER BY id"), want)
}

// clockCase is a clock in text, and what a sweep makes of it.
type clockCase struct {
	text     string
	due      bool
	readable bool
}

var timeCases = []clockCase{
	{"2024-02-29 12:00:00", true, true}, {"2024-02-29 12:00:00.000001", false, true}, {"2024-02-29 11:59:59.999999", true, true},
	{"2024-02-29 12:00:01", false, true}, {"2023-02-28 23:59:59", true, true}, {"1999-12-31 00:00:00", true, true}, {"2024-08-29 12:00:01", false, true},
	{"2037-01-01 00:00:00", false, true}, {"", false, false},
}

var textCases = append([]clockCase{
	{"2024-02-29T12:00:00Z", true, true}, {"2024-02-29T12:00:00.000001Z", false, true}, {"2024-02-29T13:00:00+01:00", true, true},
	{"2024-02-29T12:00:00-00:30", false, true}, {"2024-02-29 13:30:00+02", true, true}, {"2024-02-29 13:30:00+01", false, true}, {"2024-02-29", true, true},
	{"2024-03-01", false, true}, {" 2024-02-29 12:00 ", true, true}, {"2024-02-29T12:01", false, true}, {"2024-02-29T12:00:00.0000001Z", false, true},
	{"2024-03-01T11:00:00+23:30", true, true}, {"2023-02-29", false, false}, {"2023-04-31 00:00:00", false, false}, {"2023-13-01", false, false}, {"2023-1-1", false, false},
	{"0000-01-01", false, false}, {"yesterday", false, false}, {"canary", false, false}, {"2023-01-01 25:00:00", false, false}, {"1700000000", false, false},
}, timeCases...)

var secondsCases = []clockCase{{"1709208000", true, true}, {"1709208001", false, true}, {"0", true, true}, {"-86400", true, true}, {"1900000000", false, true},
	{"-99999999999", false, false}, {"9999999999999", false, false}, {"", false, false}}

var dateCases = []clockCase{{"2024-02-29", true, true}, {"2024-03-01", false, true}, {"2023-02-28", true, true}, {"2024-08-30", false, true}, {"", false, false}}

func testSweepEdges(t *testing.T, e *sweepEnv) {
	kinds := map[string][]clockCase{"TEXT": textCases, "BIGINT": secondsCases, e.Dialect().Timestamp: timeCases}
	for _, k := range e.db.Sweeps().Clocks {
		kinds[k] = timeCases
		if strings.EqualFold(k, "DATE") {
			kinds[k] = dateCases
		}
	}
	for kind, cases := range kinds {
		t.Run(kind, func(t *testing.T) {
			e.Exec(t, `CREATE TABLE clocked (id BIGINT PRIMARY KEY, at `+kind+`)`)
			defer e.Exec(t, `DROP TABLE clocked`)
			var due, noClock, future int64
			var left []string
			for i, c := range cases {
				e.Exec(t, fmt.Sprintf(`INSERT INTO clocked VALUES (%d, %s)`, i+100, quoted(c.text)))
				switch {
				case c.due:
					due++
					continue
				case !c.readable:
					noClock++
				case c.text > "2024-08-29 12" && !strings.HasPrefix(c.text, "17"), c.text == "1900000000":
					future++
				}
				left = append(left, fmt.Sprint(i+100))
			}
			s := alone("clocked", "at")
			n := e.count(t, s)
			WantEqual(t, "due, without clock, in the future", []int64{n.Due, n.NoClock, n.Future, n.Total}, []int64{due, noClock, future, int64(len(cases))})
			keys := e.explainEdges(t, s, cases)
			WantEqual(t, "keys", int64(len(keys)), n.Total)
			WantEqual(t, "affected", e.batch(t, s, backend.SweepBatch{}).Affected, []int64{due})
			e.wantLeft(t, "clocked", left...)
		})
	}
}

// explainEdges compares what a sweep reads with what Resolve does.
func (e *sweepEnv) explainEdges(t *testing.T, s *backend.Sweep, cases []clockCase) []backend.Key {
	t.Helper()
	var ids []string
	for i := range cases {
		ids = append(ids, fmt.Sprint(i+100))
	}
	res := resolve(t, e.b, backend.ResolveRequest{Queries: []backend.Query{{Entity: "c", Table: s.Table, KeyColumns: id, Clocks: []string{"at"},
		AnyOf: []backend.Match{identity("id", backend.None, ids...)}}}})
	var keys []backend.Key
	for _, r := range res.Rows["c"] {
		keys = append(keys, r.Key)
	}
	list, err := e.s.ExplainSweep(ctx, s, keys)
	if err != nil {
		t.Fatalf("ExplainSweep: %v", err)
	}
	for i, x := range list {
		clock := res.Rows["c"][i].Clocks[0]
		late := x.Clock.Time.Sub(clock.Time)
		if !x.Found || x.Clock.Valid != clock.Valid || late < 0 || late >= time.Microsecond {
			t.Errorf("%q is %+v, and %+v where it is resolved", cases[i].text, x, clock)
		}
	}
	return keys
}

func is(column string, values ...string) backend.Condition {
	return backend.Condition{Column: column, Operator: backend.In, Values: values}
}

func testSweepKeep(t *testing.T, e *sweepEnv) {
	e.people(t, oldDay, oldDay, oldDay, oldDay, newDay, "", "2024-12-01 00:00:00")
	e.Exec(t, `UPDATE candidate SET status = 'it''s "active"' WHERE id IN (2, 5)`)
	e.Exec(t, `UPDATE candidate SET tenant = 2 WHERE id = 3`)
	e.Exec(t, `INSERT INTO application VALUES (40, 4, '2024-07-01 00:00:00', 'x')`)
	s := candidates()
	s.Scope = []backend.Condition{is("tenant", "1")}
	s.Keep = []backend.SweepTest{
		{Name: "active", Conditions: []backend.Condition{is("status", `it's "active"`)}},
		{Name: "busy", Path: []backend.Hop{toApplication}, Clock: &backend.SweepClock{Column: "moved"}, Cutoff: sweepCutoff},
	}
	n := e.count(t, s)
	WantEqual(t, "count", n, &backend.SweepCount{Total: 6, Due: 1, Steps: []int64{0, 0, 1}, NoClock: 1, Future: 1, Kept: []int64{1, 1},
		Earliest: time.Date(2023, 1, 31, 8, 0, 0, 0, time.UTC)})
	r := e.batch(t, s, backend.SweepBatch{})
	WantEqual(t, "treated", e.treated(r), "1")
	e.wantLeft(t, "candidate", "2", "3", "4", "5", "6", "7")
	for _, moved := range []string{"NULL", "'2024-02-29 12:00:00.000001'"} {
		e.Exec(t, `UPDATE application SET moved = `+moved)
		WantEqual(t, "treated, moved "+moved, e.treated(e.batch(t, s, backend.SweepBatch{})), "")
	}
	e.Exec(t, `UPDATE application SET moved = '2024-02-29 12:00:00'`)
	WantEqual(t, "treated at the hold's end", e.treated(e.batch(t, s, backend.SweepBatch{})), "4")
	WantEqual(t, "nothing due", e.count(t, s).Earliest, time.Time{})
}

func testSweepPathClocks(t *testing.T, e *sweepEnv) {
	e.Exec(t, `INSERT INTO vacancy VALUES (1, '2023-01-01 00:00:00', 'closed'), (2, '2024-07-01 00:00:00', 'closed'), (3, NULL, 'open'), (4, '2023-01-01 00:00:00', 'draft')`)
	e.people(t, oldDay, oldDay, oldDay, oldDay, oldDay, oldDay)
	e.Exec(t, `UPDATE candidate SET vacancy_id = id WHERE id < 6`)
	s := candidates()
	s.Clock = backend.SweepClock{Column: "closed", Path: []backend.Hop{{Table: table("vacancy"), Columns: []string{"vacancy_id"}, TargetColumns: id,
		Conditions: []backend.Condition{is("tenant", "1")}, TargetConditions: []backend.Condition{is("state", "closed", "open")}}}}
	n := e.count(t, s)
	WantEqual(t, "by the parent", []int64{n.Due, n.NoClock, n.Future}, []int64{1, 4, 0})
	WantEqual(t, "treated", e.treated(e.batch(t, s, backend.SweepBatch{})), "1")

	e.Exec(t, `INSERT INTO application VALUES (20, 2, '2023-01-01 00:00:00', 'a'), (21, 2, '2023-02-01 00:00:00', 'b'), (30, 3, '2023-01-01 00:00:00', 'a'),
		(31, 3, '2024-07-01 00:00:00', 'b'), (40, 4, '2023-01-01 00:00:00', 'a'), (41, 4, NULL, 'b')`)
	s.Clock = backend.SweepClock{Column: "moved", Path: []backend.Hop{toApplication}}
	n = e.count(t, s)
	WantEqual(t, "by the latest child", []int64{n.Due, n.NoClock, n.Future, n.Steps[1]}, []int64{1, 3, 0, 2})
	WantEqual(t, "earliest", n.Earliest, time.Date(2023, 2, 1, 0, 0, 0, 0, time.UTC))
	WantEqual(t, "treated", e.treated(e.batch(t, s, backend.SweepBatch{})), "2")
	s.Clock.Path[0].Conditions = []backend.Condition{is("title", "a")}
	WantEqual(t, "by some of the children", e.treated(e.batch(t, s, backend.SweepBatch{})), "3 4")
	e.wantLeft(t, "candidate", "5", "6")
}

func testSweepPages(t *testing.T, e *sweepEnv) {
	e.Exec(t, `CREATE TABLE pair (a `+e.Dialect().KeyText+`, b BIGINT, c BIGINT, at BIGINT, PRIMARY KEY (a, b, c))`)
	e.Exec(t, `CREATE TABLE leaf (id BIGINT PRIMARY KEY, a `+e.Dialect().KeyText+`, b BIGINT, c BIGINT, FOREIGN KEY (a, b, c) REFERENCES pair (a, b, c))`)
	names := []string{"'1'", "'10'", "'2'", "'a b'", "'B'", "'it''s'", "'ü'"}
	var all, leaves int
	for i, a := range names {
		for b := range 5 {
			for c := range 3 {
				at := "1000"
				if (i+b+c)%4 == 0 {
					at = "1900000000"
				} else {
					all++
				}
				e.Exec(t, fmt.Sprintf(`INSERT INTO pair VALUES (%s, %d, %d, %s)`, a, b-1, c, at))
				if c == 1 {
					e.Exec(t, fmt.Sprintf(`INSERT INTO leaf VALUES (%d, %s, %d, %d)`, 10*i+b, a, b-1, c))
					leaves += min(1, (i+b+c)%4)
				}
			}
		}
	}
	key := []string{"a", "b", "c"}
	s := &backend.Sweep{Table: table("pair"), KeyColumns: key, Clock: backend.SweepClock{Column: "at"}, Cutoff: sweepCutoff, Now: sweepNow,
		Steps: []backend.SweepStep{
			{Entity: "leaf", Table: table("leaf"), KeyColumns: id, Path: []backend.Hop{{Table: table("leaf"), Columns: key, TargetColumns: key, Down: true}}, Action: backend.Delete},
			{Entity: "pair", Table: table("pair"), KeyColumns: key, Action: backend.Delete}}}
	WantEqual(t, "due", e.count(t, s).Steps, []int64{int64(leaves), int64(all)})
	split, err := e.s.SplitSweep(ctx, s, 3)
	if err != nil || len(split) != 4 {
		t.Fatalf("SplitSweep: %v, %v", split, err)
	}
	seen := map[string]bool{}
	total := make([]int64, 2)
	for i := range 3 {
		b := backend.SweepBatch{Limit: 4, From: split[0], Until: split[i+1]}
		if i > 0 {
			b.After = split[i]
		}
		e.sweepRange(t, s, b, seen, total)
	}
	WantEqual(t, "treated", len(seen), all)
	WantEqual(t, "affected", total, []int64{int64(leaves), int64(all)})
	WantEqual(t, "left", len(e.Dump(t, "SELECT a FROM pair")), len(names)*15-all)
}

// sweepRange sweeps a range page by page.
func (e *sweepEnv) sweepRange(t *testing.T, s *backend.Sweep, b backend.SweepBatch, seen map[string]bool, total []int64) {
	t.Helper()
	for pages := 0; ; pages++ {
		r := e.batch(t, s, b)
		for _, k := range r.Keys {
			name := strings.Join(k, "/")
			if seen[name] {
				t.Errorf("%s was treated twice", name)
			}
			seen[name] = true
		}
		for i, n := range r.Affected {
			total[i] += n
		}
		if len(r.Keys) > b.Limit || pages > 1000 {
			t.Fatalf("page %d has %d keys", pages, len(r.Keys))
		}
		if r.Last == nil {
			return
		}
		b.After = r.Last
	}
}

func testSweepDeep(t *testing.T, e *sweepEnv) {
	e.people(t, oldDay, newDay, oldDay, oldDay)
	e.Exec(t, `INSERT INTO application VALUES (10, 1, NULL, 'a'), (11, 1, NULL, 'b'), (20, 2, NULL, 'c'), (30, 3, NULL, 'd')`)
	e.Exec(t, `INSERT INTO document VALUES (100, 10, 'canary/1.pdf', 'cv'), (101, 10, NULL, 'cv'), (110, 11, 'canary/2.pdf', NULL), (200, 20, 'other.pdf', 'cv'), (300, 30, 'canary/3.pdf', 'x')`)
	s := candidates()
	n := e.count(t, s)
	WantEqual(t, "count", n.Steps, []int64{4, 3, 3})
	r := e.batch(t, s, backend.SweepBatch{Limit: 2})
	WantEqual(t, "affected", r.Affected, []int64{4, 3, 2})
	WantEqual(t, "collected", e.collected(r, 0), []string{"- cv", "canary/1.pdf cv", "canary/2.pdf -", "canary/3.pdf x"})
	WantEqual(t, "last", e.b.Text(&r.Last[0]), "3")
	r = e.batch(t, s, backend.SweepBatch{After: r.Last})
	WantEqual(t, "second page", r.Affected, []int64{0, 0, 1})
	WantEqual(t, "end", r.Last, backend.Key(nil))
	e.wantLeft(t, "candidate", "2")
	e.wantLeft(t, "application", "20")
	e.wantLeft(t, "document", "200")
	r = e.batch(t, s, backend.SweepBatch{})
	WantEqual(t, "again", r.Affected, []int64{0, 0, 0})
}

func (e *sweepEnv) collected(r *backend.SweepResult, step int) []string {
	var list []string
	for _, row := range r.Collected[step] {
		var parts []string
		for _, v := range row {
			if v == nil {
				parts = append(parts, "-")
			} else {
				parts = append(parts, e.b.Text(v))
			}
		}
		list = append(list, strings.Join(parts, " "))
	}
	sort.Strings(list)
	return list
}

func testSweepPolymorphic(t *testing.T, e *sweepEnv) {
	e.people(t, oldDay, oldDay, newDay)
	e.Exec(t, `INSERT INTO application VALUES (1, 1, NULL, 'a'), (2, 3, NULL, 'b')`)
	e.Exec(t, `INSERT INTO remark VALUES (1, 100, 1, 'canary', NULL), (2, 200, 1, 'of application 1', NULL), (3, 100, 3, 'of another', NULL), (4, 200, 2, 'of another', NULL),
		(5, 100, 2, 'recent', '2024-07-01 00:00:00'), (6, 300, 1, 'of something else', NULL)`)
	remark := func(kind string) backend.Hop {
		return backend.Hop{Table: table("remark"), Columns: id, TargetColumns: []string{"item_id"}, Down: true, Conditions: []backend.Condition{is("item_type", kind)}}
	}
	s := candidates()
	for i, path := range [][]backend.Hop{{toApplication, remark("200")}, {remark("100")}} {
		s.Steps = slices.Insert(s.Steps, i, backend.SweepStep{Entity: fmt.Sprint("remark", i), Table: table("remark"), KeyColumns: id, Path: path, Action: backend.Delete, Collect: id})
	}
	s.Keep = []backend.SweepTest{{Name: "recent remark", Path: []backend.Hop{remark("100")}, Conditions: []backend.Condition{{Column: "made", Operator: backend.Exists}},
		Clock: &backend.SweepClock{Column: "made"}, Cutoff: sweepCutoff}}
	n := e.count(t, s)
	WantEqual(t, "count", n.Steps, []int64{1, 1, 0, 1, 1})
	r := e.batch(t, s, backend.SweepBatch{})
	WantEqual(t, "affected", r.Affected, n.Steps)
	e.wantLeft(t, "remark", "3", "4", "5", "6")
	e.wantLeft(t, "candidate", "2", "3")
}

func text(s string) *string { return &s }

func testSweepUpdate(t *testing.T, e *sweepEnv) {
	e.people(t, oldDay, oldDay, newDay, oldDay)
	e.Exec(t, `UPDATE candidate SET name = NULL, email = 'it''s gone', born = '1980-01-01 00:00:00', gone = '2024-01-01 00:00:00' WHERE id = 2`)
	e.Exec(t, `INSERT INTO application VALUES (10, 1, NULL, 'Cook'), (20, 2, NULL, '-')`)
	e.Count(t, "candidate")
	e.Count(t, "application")
	s := candidates()
	s.Steps = []backend.SweepStep{
		{Entity: "application", Table: table("application"), KeyColumns: id, Path: []backend.Hop{toApplication}, Action: backend.Update,
			Columns: []backend.SweepColumn{{Column: "title", Value: text("-")}}},
		{Entity: "candidate", Table: table("candidate"), KeyColumns: id, Action: backend.Update, Collect: []string{"email"}, Columns: []backend.SweepColumn{
			{Column: "name"}, {Column: "email", Value: text("it's gone")}, {Column: "born", Truncate: backend.TruncateYear}, {Column: "gone", Now: true}}},
	}
	n := e.count(t, s)
	WantEqual(t, "count", []int64{n.Due, n.Steps[0], n.Steps[1]}, []int64{2, 1, 2})
	r := e.batch(t, s, backend.SweepBatch{})
	WantEqual(t, "affected", r.Affected, n.Steps)
	WantEqual(t, "collected", e.collected(r, 1), []string{"canary1@example.com", "canary4@example.com"})
	rows := e.Dump(t, "SELECT COALESCE(name, '-'), email FROM candidate ORDER BY id")
	WantEqual(t, "candidates", rows, []string{"-|it's gone", "-|it's gone", "Ann|canary3@example.com", "-|it's gone"})
	res := resolve(t, e.b, backend.ResolveRequest{Queries: []backend.Query{{Entity: "c", Table: table("candidate"), KeyColumns: id, Clocks: []string{"born", "gone"},
		AnyOf: []backend.Match{identity("id", backend.None, "1", "2")}}}})
	for i, gone := range []time.Time{sweepNow, time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)} {
		WantEqual(t, "times", res.Rows["c"][i].Clocks, []backend.Clock{{Time: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC), Valid: true}, {Time: gone, Valid: true}})
	}
	effects := len(e.Dump(t, "SELECT tab FROM effects"))
	WantEqual(t, "writes", effects, 3)
	WantEqual(t, "due again", e.count(t, s).Due, int64(0))
	WantEqual(t, "again", e.batch(t, s, backend.SweepBatch{}).Affected, []int64{0, 0})
	e.Exec(t, `INSERT INTO application VALUES (11, 1, NULL, 'Waiter')`)
	WantEqual(t, "a new dependant", e.batch(t, s, backend.SweepBatch{}).Affected, []int64{1, 0})
}

// testSweepUpdateAlone: one step alone, in pages, beside a record that another session has.
func testSweepUpdateAlone(t *testing.T, e *sweepEnv) {
	var seen []string
	for i := range 60 {
		seen = append(seen, []string{oldDay, newDay, ""}[min(i/20, 2)])
	}
	e.people(t, seen...)
	s := alone("candidate", "seen")
	s.Steps[0].Action, s.Steps[0].Columns = backend.Update, []backend.SweepColumn{{Column: "name"}, {Column: "born", Truncate: backend.TruncateMonth}}
	s.Scope = []backend.Condition{is("tenant", "1")}
	e.Exec(t, `UPDATE candidate SET tenant = 2 WHERE id = 5`)
	WantEqual(t, "count", e.count(t, s).Steps, []int64{19})
	session := e.db.Session(t)
	run := func(statement string) {
		t.Helper()
		if _, err := session(statement); err != nil {
			t.Fatal(err)
		}
	}
	total, want := []int64{0}, []int64{19}
	if e.db.Sweeps().RowLocks {
		run("BEGIN")
		run("UPDATE candidate SET seen = '" + newDay + "' WHERE id = 10")
		want[0]--
	}
	treated := map[string]bool{}
	e.sweepRange(t, s, backend.SweepBatch{Limit: 7}, treated, total)
	WantEqual(t, "affected", total, want)
	WantEqual(t, "treated", int64(len(treated)), want[0])
	if e.db.Sweeps().RowLocks {
		run("COMMIT")
	}
	e.sweepRange(t, s, backend.SweepBatch{Limit: 7}, treated, total)
	WantEqual(t, "affected in the end", total, want)
	WantEqual(t, "left", len(e.Dump(t, "SELECT id FROM candidate WHERE name IS NOT NULL")), 60-int(want[0]))
}

func testSweepShallow(t *testing.T, e *sweepEnv) {
	e.people(t, oldDay, newDay)
	e.Exec(t, `INSERT INTO application VALUES (10, 1, NULL, 'a'), (20, 2, NULL, 'b')`)
	s := candidates()
	s.Steps = s.Steps[1:]
	s.Steps[0] = backend.SweepStep{Entity: "application", Table: table("application"), KeyColumns: id, Path: []backend.Hop{toApplication}, Action: backend.Update,
		Columns: []backend.SweepColumn{{Column: "candidate_id"}}}
	WantEqual(t, "count", e.count(t, s).Steps, []int64{1, 1})
	WantEqual(t, "affected", e.batch(t, s, backend.SweepBatch{}).Affected, []int64{1, 1})
	WantEqual(t, "applications", e.Dump(t, "SELECT id, candidate_id FROM application ORDER BY id"), []string{"10|NULL", "20|2"})
}

func testSweepStepScope(t *testing.T, e *sweepEnv) {
	e.people(t, oldDay, oldDay, oldDay)
	e.Exec(t, `INSERT INTO application VALUES (10, 1, NULL, 'mine'), (20, 2, NULL, 'mine'), (21, 2, NULL, 'theirs')`)
	s := candidates()
	s.Steps[1].Scope = []backend.Condition{is("title", "mine")}
	n := e.count(t, s)
	WantEqual(t, "count", []int64{n.Due, n.Steps[1]}, []int64{2, 1})
	WantEqual(t, "treated", e.treated(e.batch(t, s, backend.SweepBatch{})), "1 3")
	e.wantLeft(t, "application", "20", "21")
}

// testSweepCascade: what the database deletes by itself counts too, and nothing more goes than steps name.
func testSweepCascade(t *testing.T, e *sweepEnv) {
	for _, s := range []string{`CREATE TABLE root (id BIGINT PRIMARY KEY, at BIGINT)`,
		`CREATE TABLE twig (id BIGINT PRIMARY KEY, up BIGINT, FOREIGN KEY (up) REFERENCES root (id) ON DELETE CASCADE)`,
		`CREATE TABLE leaf (id BIGINT PRIMARY KEY, up BIGINT, path TEXT, FOREIGN KEY (up) REFERENCES twig (id) ON DELETE CASCADE)`,
	} {
		e.Exec(t, s)
	}
	up := []string{"up"}
	twig := backend.Hop{Table: table("twig"), Columns: id, TargetColumns: up, Down: true}
	leaf := backend.Hop{Table: table("leaf"), Columns: id, TargetColumns: up, Down: true}
	fill := func() {
		for _, name := range []string{"leaf", "twig", "root"} {
			e.Exec(t, "DELETE FROM "+name)
		}
		e.Exec(t, `INSERT INTO root VALUES (1, 1), (2, 1), (3, 1900000000)`)
		e.Exec(t, `INSERT INTO twig VALUES (10, 1), (11, 1), (30, 3)`)
		e.Exec(t, `INSERT INTO leaf VALUES (100, 10, 'canary'), (101, 10, 'canary'), (300, 30, 'canary')`)
	}
	s := alone("root", "at")
	s.Steps = []backend.SweepStep{
		{Entity: "leaf", Table: table("leaf"), KeyColumns: id, Path: []backend.Hop{twig, leaf}, Action: backend.Delete},
		{Entity: "twig", Table: table("twig"), KeyColumns: id, Path: []backend.Hop{twig}, Action: backend.Delete}, s.Steps[0]}
	for _, collect := range [][]string{nil, {"path"}} {
		fill()
		s.Steps[0].Collect = collect
		n := e.count(t, s)
		WantEqual(t, "count", n.Steps, []int64{2, 2, 2})
		r := e.batch(t, s, backend.SweepBatch{})
		WantEqual(t, "affected", r.Affected, n.Steps)
		WantEqual(t, "collected", len(r.Collected[0]), 2*len(collect))
		e.wantLeft(t, "root", "3")
		e.wantLeft(t, "twig", "30")
		e.wantLeft(t, "leaf", "300")
	}
	fill()
	s.Steps = s.Steps[1:] // leaves are named by no step
	_, err := e.s.SweepBatch(ctx, s, backend.SweepBatch{Limit: 10})
	wantError[*backend.StaleError](t, err, "twig", "leaf")
	e.wantLeft(t, "root", "1", "2", "3")
	e.wantLeft(t, "leaf", "100", "101", "300")
}

func testSweepGuard(t *testing.T, e *sweepEnv) {
	e.people(t, oldDay, newDay)
	e.Exec(t, `CREATE TABLE badge (id BIGINT PRIMARY KEY, candidate_id BIGINT, FOREIGN KEY (candidate_id) REFERENCES candidate (id) ON DELETE SET NULL)`)
	e.Exec(t, `INSERT INTO badge VALUES (1, 1), (2, 2)`)
	s := candidates()
	_, err := e.s.SweepBatch(ctx, s, backend.SweepBatch{Limit: 10})
	wantError[*backend.StaleError](t, err, "candidate", "badge")
	e.wantLeft(t, "candidate", "1", "2")
	s.Ignored = []backend.Table{table("badge")}
	WantEqual(t, "ignored", e.treated(e.batch(t, s, backend.SweepBatch{})), "1")
	WantEqual(t, "badges", e.Dump(t, "SELECT id, candidate_id FROM badge ORDER BY id"), []string{"1|NULL", "2|2"})

	e.people(t, oldDay)
	e.Exec(t, `INSERT INTO application VALUES (10, 1, NULL, 'x')`)
	s.Steps = s.Steps[2:]
	_, err = e.s.SweepBatch(ctx, s, backend.SweepBatch{Limit: 10})
	wantError[*backend.StaleError](t, err, "candidate")
	e.wantLeft(t, "candidate", "1", "2")
}

func testSweepHeld(t *testing.T, e *sweepEnv) {
	e.people(t, oldDay, oldDay, oldDay)
	e.Exec(t, `UPDATE candidate SET email = NULL WHERE id = 3`)
	s := candidates()
	s.Subject = &backend.SweepClock{Column: "email"}
	var asked []string
	held := func(_ context.Context, subjects []backend.Value) ([]bool, error) {
		answers := make([]bool, len(subjects))
		for i, v := range subjects {
			name := "nobody"
			if v != nil {
				name = *v
			}
			asked, answers[i] = append(asked, name), name == "canary2@example.com"
		}
		return answers, nil
	}
	r := e.batch(t, s, backend.SweepBatch{Held: held, Limit: 3})
	WantEqual(t, "asked", asked, []string{"canary1@example.com", "canary2@example.com", "nobody"})
	WantEqual(t, "treated", e.treated(r), "1 3")
	WantEqual(t, "held", r.Held, int64(1))
	WantEqual(t, "last", e.b.Text(&r.Last[0]), "3")
	_, err := e.s.SweepBatch(ctx, s, backend.SweepBatch{Limit: 3, Held: func(context.Context, []backend.Value) ([]bool, error) { return nil, errors.New("canary") }})
	wantError[*backend.UnavailableError](t, err)
	e.wantLeft(t, "candidate", "2")

	e.Exec(t, `INSERT INTO application VALUES (20, 2, '`+oldDay+`', 'x')`)
	s = alone("application", "moved")
	s.Subject = &backend.SweepClock{Column: "email", Path: []backend.Hop{{Table: table("candidate"), Columns: []string{"candidate_id"}, TargetColumns: id}}}
	s.Steps = append([]backend.SweepStep{{Entity: "document", Table: table("document"), KeyColumns: id, Path: []backend.Hop{toDocument}, Action: backend.Delete}}, s.Steps...)
	r = e.batch(t, s, backend.SweepBatch{Held: held})
	WantEqual(t, "by the parent's name", []int64{r.Held, int64(len(r.Keys))}, []int64{1, 0})
}

func testSweepLook(t *testing.T, e *sweepEnv) {
	e.people(t, oldDay, newDay, "", oldDay)
	s := &backend.Sweep{Table: table("candidate"), KeyColumns: id, Clock: backend.SweepClock{Column: "seen"}, Cutoff: sweepCutoff, Now: sweepNow,
		Subject: &backend.SweepClock{Column: "email"}}
	see := func() (names []string) {
		r := e.batch(t, s, backend.SweepBatch{Held: func(_ context.Context, subjects []backend.Value) ([]bool, error) {
			for _, v := range subjects {
				names = append(names, e.b.Text(v))
			}
			return make([]bool, len(subjects)), nil
		}})
		WantEqual(t, "found", len(r.Keys), len(names))
		return names
	}
	WantEqual(t, "by the clock", see(), []string{"canary1@example.com", "canary4@example.com"})
	s.Clock, s.Scope = backend.SweepClock{}, []backend.Condition{is("id", "2", "3")}
	WantEqual(t, "without a clock", see(), []string{"canary2@example.com", "canary3@example.com"})
	if err := e.s.CheckSweep(ctx, s); err != nil {
		t.Fatalf("CheckSweep: %v", err)
	}
	e.wantLeft(t, "candidate", "1", "2", "3", "4")
}

func testSweepSince(t *testing.T, e *sweepEnv) {
	e.people(t, oldDay, "2023-02-01 08:00:00", "2023-02-01 08:00:01", newDay)
	s := candidates()
	s.Since = time.Date(2023, 2, 1, 8, 0, 0, 0, time.UTC)
	WantEqual(t, "due", e.count(t, s).Due, int64(1))
	WantEqual(t, "treated", e.treated(e.batch(t, s, backend.SweepBatch{})), "3")
	e.wantLeft(t, "candidate", "1", "2", "4")
}

func testSweepBeforeEffect(t *testing.T, e *sweepEnv) {
	e.people(t, oldDay, newDay)
	e.Exec(t, `INSERT INTO application VALUES (10, 1, NULL, 'a')`)
	s := candidates()
	broken := errors.New("the ledger is full")
	calls := 0
	_, err := e.s.SweepBatch(ctx, s, backend.SweepBatch{Limit: 10, BeforeEffect: func(_ context.Context, r *backend.SweepResult) error {
		calls++
		WantEqual(t, "affected before the effect", r.Affected, []int64{0, 1, 1})
		WantEqual(t, "keys before the effect", e.treated(r), "1")
		return broken
	}})
	if !errors.Is(err, broken) || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
	e.wantLeft(t, "application", "10")
	cancelled, cancel := context.WithCancel(ctx)
	_, err = e.s.SweepBatch(cancelled, s, backend.SweepBatch{Limit: 10, BeforeEffect: func(context.Context, *backend.SweepResult) error { cancel(); return nil }})
	wantError[*backend.UnavailableError](t, err)
	e.wantLeft(t, "application", "10")
	e.wantLeft(t, "candidate", "1", "2")
	if _, err = e.s.SweepBatch(ctx, s, backend.SweepBatch{}); err == nil {
		t.Error("a page without a limit is no error")
	}
	WantEqual(t, "in the end", e.batch(t, s, backend.SweepBatch{BeforeEffect: func(context.Context, *backend.SweepResult) error { return nil }}).Affected, []int64{0, 1, 1})
	_, err = e.s.SweepBatch(ctx, s, backend.SweepBatch{Limit: 10, BeforeEffect: func(context.Context, *backend.SweepResult) error { t.Error("nothing is due"); return nil }})
	if err != nil {
		t.Error(err)
	}
}

func testSweepLocked(t *testing.T, e *sweepEnv) {
	e.people(t, oldDay, oldDay, oldDay)
	s := candidates()
	session := e.db.Session(t)
	run := func(statement string) {
		t.Helper()
		if _, err := session(statement); err != nil {
			t.Fatal(err)
		}
	}
	run("BEGIN")
	run("UPDATE candidate SET name = 'Bob' WHERE id = 2")
	if !e.db.Sweeps().RowLocks {
		b := e.db.Open(t, Limits{LockTimeout: 10 * time.Millisecond})
		_, err := b.(backend.Sweeper).SweepBatch(ctx, s, backend.SweepBatch{Limit: 10})
		wantError[*backend.UnavailableError](t, err)
		run("COMMIT")
		WantEqual(t, "treated", e.treated(e.batch(t, s, backend.SweepBatch{})), "1 2 3")
		return
	}
	r := e.batch(t, s, backend.SweepBatch{})
	WantEqual(t, "treated", e.treated(r), "1 3")
	WantEqual(t, "locked", r.Locked, int64(1))
	run("UPDATE candidate SET seen = '" + newDay + "' WHERE id = 2")
	run("COMMIT")
	r = e.batch(t, s, backend.SweepBatch{})
	WantEqual(t, "treated and locked", []any{e.treated(r), r.Locked}, []any{"", int64(0)})
	e.wantLeft(t, "candidate", "2")
}

func testSweepSplit(t *testing.T, e *sweepEnv) {
	s := alone("candidate", "seen")
	split := func(n int) (keys []string) {
		t.Helper()
		list, err := e.s.SplitSweep(ctx, s, n)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range list {
			keys = append(keys, e.b.Text(&k[0]))
		}
		return keys
	}
	WantEqual(t, "of nothing", split(4), []string(nil))
	seen := slices.Concat([]string{newDay}, slices.Repeat([]string{oldDay}, 12), slices.Repeat([]string{newDay}, 20))
	e.people(t, seen...)
	WantEqual(t, "in one", split(1), []string{"2", "13"})
	WantEqual(t, "in two", split(2), []string{"2", "7", "13"})
	WantEqual(t, "in five", split(5), []string{"2", "4", "6", "9", "11", "13"})
	WantEqual(t, "in too many", len(split(30)), 12)
	r := e.batch(t, s, backend.SweepBatch{From: e.keysOf("9")[0], Limit: 2})
	WantEqual(t, "from the ninth", e.treated(r), "9 10")
	WantEqual(t, "to the end", e.treated(e.batch(t, s, backend.SweepBatch{From: e.keysOf("9")[0], After: r.Last})), "11 12 13")
	e.Exec(t, "DELETE FROM candidate WHERE id > 2")
	for _, n := range []int{1, 3} {
		WantEqual(t, "of one", split(n), []string{"2", "2"})
	}
}

// testSweepCollect: of the records with the keys and their dependants, due, kept, locked or not.
func testSweepCollect(t *testing.T, e *sweepEnv) {
	e.people(t, oldDay, newDay, "", oldDay)
	e.Exec(t, `INSERT INTO application VALUES (10, 1, NULL, 'Cook'), (20, 2, NULL, 'Cook'), (30, 3, NULL, 'Cook'), (40, 4, NULL, 'Cook')`)
	e.Exec(t, `INSERT INTO document VALUES (100, 10, 'a', 'cv'), (200, 20, 'b', 'cv'), (201, 20, 'c', NULL), (300, 30, 'd', 'cv'), (400, 40, 'e', 'cv')`)
	collect := func(s *backend.Sweep, keys ...string) [][]string {
		t.Helper()
		collected, err := e.s.CollectSweep(ctx, s, e.keysOf(keys...))
		if err != nil {
			t.Fatal(err)
		}
		var texts [][]string
		for i := range s.Steps {
			texts = append(texts, e.collected(&backend.SweepResult{Collected: collected}, i))
		}
		return texts
	}
	s := candidates()
	s.Keep = []backend.SweepTest{{Name: "open", Conditions: []backend.Condition{is("status", "open")}}}
	s.Steps[0].Scope = []backend.Condition{is("kind", "cv")}
	e.Count(t, "candidate")
	release := e.Lock(t, "candidate")
	WantEqual(t, "collected", collect(s, "1", "2", "3", "9"), [][]string{{"a cv", "b cv", "c -", "d cv"}, nil, nil})
	release()
	WantEqual(t, "of nothing", collect(s), [][]string{nil, nil, nil})
	change := alone("candidate", "seen")
	change.Steps[0].Action, change.Steps[0].Collect = backend.Update, []string{"email"}
	change.Steps[0].Columns = []backend.SweepColumn{{Column: "email", Value: text("-")}}
	e.Exec(t, `UPDATE candidate SET email = '-' WHERE id = 2`)
	WantEqual(t, "to change", collect(change, "1", "2", "3"), [][]string{{"canary1@example.com", "canary3@example.com"}})
}

func testSweepExplain(t *testing.T, e *sweepEnv) {
	e.people(t, oldDay, newDay, "")
	e.Exec(t, `UPDATE candidate SET tenant = 2 WHERE id = 3`)
	e.Exec(t, `INSERT INTO application VALUES (10, 1, '2023-05-01 00:00:00', 'a'), (11, 1, '2024-06-01 00:00:00', 'b')`)
	s := candidates()
	s.Scope = []backend.Condition{is("tenant", "1")}
	s.Subject = &backend.SweepClock{Column: "email"}
	s.Keep = []backend.SweepTest{{Name: "busy", Path: []backend.Hop{toApplication}, Clock: &backend.SweepClock{Column: "moved"}, Cutoff: sweepCutoff},
		{Name: "new", Conditions: []backend.Condition{is("status", "new")}}}
	keys := e.keysOf("1", "2", "3", "9")
	got, err := e.s.ExplainSweep(ctx, s, keys)
	if err != nil {
		t.Fatal(err)
	}
	at := func(s string) backend.Clock {
		when, err := time.Parse(time.DateTime, s)
		if err != nil {
			t.Fatal(err)
		}
		return backend.Clock{Time: when, Valid: true}
	}
	none := []bool{false, false}
	WantEqual(t, "explained", got, []backend.SweepExplanation{
		{Key: keys[0], Found: true, Clock: at(oldDay), Keep: []bool{true, false}, Clocks: []backend.Clock{at("2024-06-01 00:00:00"), {}}, Subject: text("canary1@example.com")},
		{Key: keys[1], Found: true, Clock: at(newDay), Keep: none, Clocks: make([]backend.Clock, 2), Subject: text("canary2@example.com")},
		{Key: keys[2], Keep: none, Clocks: make([]backend.Clock, 2)}, {Key: keys[3], Keep: none, Clocks: make([]backend.Clock, 2)},
	})
}

// keysOf are the keys of candidates.
func (e *sweepEnv) keysOf(ids ...string) []backend.Key {
	keys := make([]backend.Key, len(ids))
	for i, v := range ids {
		keys[i] = backend.Key{v}
	}
	return keys
}

func testSweepCheck(t *testing.T, e *sweepEnv) {
	kinds := e.db.Sweeps()
	columns := "id BIGINT PRIMARY KEY, at BIGINT, must BIGINT NOT NULL"
	if kinds.NoClock != "" {
		columns += ", odd " + kinds.NoClock
	}
	e.Exec(t, `CREATE TABLE checked (`+columns+`, made `+kinds.Generated+`)`)
	update := func(c backend.SweepColumn) func(*backend.Sweep) {
		return func(s *backend.Sweep) {
			s.Steps[0].Action, s.Steps[0].Columns = backend.Update, []backend.SweepColumn{c}
		}
	}
	for _, c := range []struct {
		name   string
		change func(*backend.Sweep)
		words  []string
	}{
		{"no such clock", func(s *backend.Sweep) { s.Clock.Column = "nowhere" }, []string{"checked", "nowhere"}},
		{"no such table", func(s *backend.Sweep) { s.Table.Name, s.Steps[0].Table.Name = "nowhere", "nowhere" }, []string{"nowhere"}},
		{"no such condition", func(s *backend.Sweep) { s.Scope = []backend.Condition{is("x\"y", "1")} }, []string{`x\"y`}},
		{"no such key", func(s *backend.Sweep) { s.KeyColumns = []string{"nowhere"} }, []string{"nowhere"}},
		{"no such subject", func(s *backend.Sweep) { s.Subject = &backend.SweepClock{Column: "nowhere"} }, []string{"nowhere"}},
		{"no such column to collect", func(s *backend.Sweep) { s.Steps[0].Collect = []string{"nowhere"} }, []string{"checked", "nowhere"}},
		{"an empty name", func(s *backend.Sweep) { s.Clock.Column = "" }, nil},
		{"NULL where none may be", update(backend.SweepColumn{Column: "must"}), []string{"checked", "must", "NOT NULL"}},
		{"a generated column", update(backend.SweepColumn{Column: "made"}), []string{"checked", "made", "generated"}},
		{"the key", update(backend.SweepColumn{Column: "id", Value: text("1")}), []string{"checked", "id", "key"}},
		{"no last step", func(s *backend.Sweep) { s.Steps[0].Path = []backend.Hop{toApplication} }, nil},
	} {
		s := alone("checked", "at")
		c.change(s)
		t.Run(c.name, func(t *testing.T) { wantError[*backend.RefusedError](t, e.s.CheckSweep(ctx, s), c.words...) })
	}
	if kinds.NoClock != "" {
		wantError[*backend.RefusedError](t, e.s.CheckSweep(ctx, alone("checked", "odd")), "checked", "odd", "point in time")
	}
	if err := e.s.CheckSweep(ctx, alone("checked", "at")); err != nil {
		t.Errorf("nothing is wrong: %v", err)
	}
	if lag, ok, err := e.s.Lag(ctx); lag != 0 || ok || err != nil {
		t.Errorf("without replicas: %v, %t, %v", lag, ok, err)
	}
}

// CandidatesAndNotes deletes the records of a table candidate with an old time seen, after those of a table note that refer to them by
// candidate_id.
func CandidatesAndNotes(t *testing.T, d SweepDatabase) (backend.Sweeper, *backend.Sweep) {
	t.Helper()
	b, ok := d.Open(t, Limits{}).(backend.Sweeper)
	if !ok {
		t.Fatal("it cannot sweep")
	}
	notes := backend.Hop{Table: table("note"), Columns: id, TargetColumns: []string{"candidate_id"}, Down: true}
	s := alone("candidate", "seen")
	s.Steps = []backend.SweepStep{{Entity: "note", Table: table("note"), KeyColumns: id, Path: []backend.Hop{notes}, Action: backend.Delete}, s.Steps[0]}
	return b, s
}
