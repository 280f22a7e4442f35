package backendtest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/internal/backend"
)

func testSelf(t *testing.T, e *env) {
	e.Exec(t, `CREATE TABLE node (id BIGINT PRIMARY KEY, parent BIGINT, kind BIGINT NOT NULL, tenant BIGINT NOT NULL, person VARCHAR(50))`)
	e.Exec(t, `CREATE TABLE leaf (id BIGINT PRIMARY KEY, node BIGINT NOT NULL)`)
	// 1 -> 2 -> 3 -> 4, of which 4 is another tenant's; 5 refers to 1 in another way; 6 and 7 go round in a circle; 8 is
	// its own parent; 20 belongs to somebody else, who answered 3.
	e.Exec(t, `INSERT INTO node VALUES (1, NULL, 1, 1, '1'), (2, 1, 1, 1, '10'), (3, 2, 1, 1, NULL), (4, 3, 1, 2, NULL), (5, 1, 2, 1, NULL),
		(6, 7, 1, 1, '1'), (7, 6, 1, 1, NULL), (8, 8, 1, 1, '1'), (20, NULL, 1, 1, '10'), (21, 20, 1, 1, NULL)`)
	e.Exec(t, `INSERT INTO leaf VALUES (10, 1), (30, 3), (40, 4), (70, 7), (200, 20)`)
	tenant := []backend.Condition{{Column: "tenant", Operator: backend.In, Values: []string{"1"}}}
	node := backend.Query{Entity: "node", Table: table("node"), KeyColumns: []string{"id"}, Columns: []string{"parent"}, Scope: tenant,
		AnyOf: []backend.Match{identity("person", backend.None, "1")},
		Self: []backend.ParentMatch{{Columns: []string{"parent"}, ParentColumns: []string{"id"},
			Conditions: []backend.Condition{{Column: "kind", Operator: backend.In, Values: []string{"1"}}}}}}
	leaf := backend.Query{Entity: "leaf", Table: table("leaf"), KeyColumns: []string{"id"}, AnyOf: []backend.Match{child("node", "node", "id")}}
	res := resolve(t, e.b, backend.ResolveRequest{Queries: []backend.Query{node, leaf}})
	WantEqual(t, "nodes", found(e.b, res, "node"), []string{"1", "2", "3", "6", "7", "8"})
	WantEqual(t, "leaves", found(e.b, res, "leaf"), []string{"10", "30", "70"})
	node.AnyOf = nil
	res = resolve(t, e.b, backend.ResolveRequest{Queries: []backend.Query{node, leaf}})
	WantEqual(t, "nodes of nobody", found(e.b, res, "node"), []string(nil))
	// Two ways: 31 answers 3 and starts a thread, in which 32 is.
	e.Exec(t, `ALTER TABLE node ADD COLUMN thread BIGINT`)
	e.Exec(t, `INSERT INTO node VALUES (31, 3, 1, 1, NULL, NULL), (32, NULL, 1, 1, NULL, 31), (33, 32, 1, 1, NULL, NULL), (34, NULL, 1, 1, NULL, 20)`)
	node.AnyOf = []backend.Match{identity("person", backend.None, "1")}
	node.Self = append(node.Self, backend.ParentMatch{Columns: []string{"thread"}, ParentColumns: []string{"id"}})
	res = resolve(t, e.b, backend.ResolveRequest{Queries: []backend.Query{node}})
	WantEqual(t, "nodes of both ways", found(e.b, res, "node"), []string{"1", "2", "3", "6", "7", "8", "31", "32", "33"})
	node.Self[1].ParentColumns = nil
	_, err := e.b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{node}})
	wantError[*backend.RefusedError](t, err, "node")
}

func (e *env) makeDocuments(t *testing.T) (link, doc backend.Query) {
	t.Helper()
	e.Exec(t, `CREATE TABLE doc (id BIGINT PRIMARY KEY, title VARCHAR(50))`)
	e.Exec(t, `CREATE TABLE link (id BIGINT PRIMARY KEY, kind BIGINT NOT NULL, person VARCHAR(50) NOT NULL, doc BIGINT)`)
	e.Exec(t, `INSERT INTO doc VALUES (1, 'mine'), (2, 'ours'), (3, 'mine twice'), (4, 'theirs'), (5, 'mine, and of another kind')`)
	e.Exec(t, `INSERT INTO link VALUES (11, 1, '1', 1), (12, 1, '1', 2), (13, 1, '10', 2), (14, 1, '1', 3), (15, 1, '1', 3), (16, 1, '10', 4),
		(17, 1, '1', 5), (18, 2, '10', 5), (19, 1, '10', NULL)`)
	link = backend.Query{Entity: "link", Table: table("link"), KeyColumns: []string{"id"}, Scope: ofKind("1"),
		AnyOf: []backend.Match{identity("person", backend.None, "1")}}
	doc = backend.Query{Entity: "doc", Table: table("doc"), KeyColumns: []string{"id"}, AnyOf: []backend.Match{child("link", "id", "doc")},
		Flags:  [][]backend.Condition{{{Column: "title", Operator: backend.In, Values: []string{"ours"}}}},
		Shared: []backend.SharedMatch{{Entities: []string{"link"}, Columns: []string{"id"}, ParentColumns: []string{"doc"}}}}
	return link, doc
}

func ofKind(values ...string) []backend.Condition {
	return []backend.Condition{{Column: "kind", Operator: backend.In, Values: values}}
}

func testShared(t *testing.T, e *env) {
	link, doc := e.makeDocuments(t)
	res := resolve(t, e.b, backend.ResolveRequest{Queries: []backend.Query{link, doc}})
	WantEqual(t, "documents", found(e.b, res, "doc"), []string{"1", "2", "3", "5"})
	for i, want := range []bool{false, true, false, true} { // whatever kind the query looks for
		WantEqual(t, "others have the document", res.Rows["doc"][i].Shared, []bool{want})
		WantEqual(t, "its flag", res.Rows["doc"][i].Flags, []bool{i == 1})
	}
	doc.Shared = append(doc.Shared, doc.Shared[0], doc.Shared[0])
	doc.Shared[1].Conditions, doc.Shared[2].Conditions = ofKind("1"), ofKind("2")
	res = resolve(t, e.b, backend.ResolveRequest{Queries: []backend.Query{link, doc}})
	for i, want := range [][]bool{{false, false, false}, {true, true, false}, {false, false, false}, {true, false, true}} {
		WantEqual(t, "others have the document, by kind of link", res.Rows["doc"][i].Shared, want)
	}
	// What any of several queries finds is not of others.
	second := link
	second.Entity, second.Scope, second.AnyOf = "second", ofKind("2"), []backend.Match{identity("person", backend.None, "10")}
	doc.Shared[0].Entities = []string{"link", "second"}
	res = resolve(t, e.b, backend.ResolveRequest{Queries: []backend.Query{link, second, doc}})
	for i, want := range []bool{false, true, false, false} {
		WantEqual(t, "others than those of two queries have the document", res.Rows["doc"][i].Shared[0], want)
	}
	doc.Shared = doc.Shared[:1]
	doc.Shared[0].Entities = []string{"link"}
	// Nobody's links are found: whoever has one shares the document.
	link.AnyOf = nil
	doc.AnyOf = []backend.Match{identity("id", backend.None, "1", "4")}
	res = resolve(t, e.b, backend.ResolveRequest{Queries: []backend.Query{link, doc}})
	WantEqual(t, "documents", found(e.b, res, "doc"), []string{"1", "4"})
	for _, row := range res.Rows["doc"] {
		WantEqual(t, "others have the document", row.Shared, []bool{true})
	}
	_, err := e.b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{doc}})
	wantError[*backend.RefusedError](t, err, "doc", "link")
	doc.Shared[0].Entities = nil
	_, err = e.b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{link, doc}})
	wantError[*backend.RefusedError](t, err, "doc")
}

func testParentConditions(t *testing.T, e *env) {
	link, doc := e.makeDocuments(t)
	link.Scope, doc.Shared = nil, nil
	e.Exec(t, `INSERT INTO link VALUES (20, 2, '1', 4), (21, 2, '1', 1)`)
	for kind, want := range map[string][]string{"1": {"1", "2", "3", "5"}, "2": {"1", "4"}, "3": nil} {
		doc.AnyOf = []backend.Match{child("link", "id", "doc")}
		doc.AnyOf[0].Parent.ParentConditions = ofKind(kind)
		res := resolve(t, e.b, backend.ResolveRequest{Queries: []backend.Query{link, doc}})
		WantEqual(t, "documents of links of kind "+kind, found(e.b, res, "doc"), want)
	}
	// Two ways with conditions of their own, and a tree above them.
	e.Exec(t, `ALTER TABLE link ADD COLUMN parent BIGINT`)
	e.Exec(t, `INSERT INTO link VALUES (30, 2, '10', 2, 11), (31, 1, '10', 4, 30)`)
	link.Self = []backend.ParentMatch{{Columns: []string{"parent"}, ParentColumns: []string{"id"}}}
	doc.AnyOf = []backend.Match{child("link", "id", "doc"), child("link", "id", "doc")}
	doc.AnyOf[0].Parent.ParentConditions, doc.AnyOf[1].Parent.ParentConditions = ofKind("3"), ofKind("2")
	doc.AnyOf[1].Parent.Conditions = []backend.Condition{{Column: "id", Operator: backend.NotIn, Values: []string{"4"}}}
	res := resolve(t, e.b, backend.ResolveRequest{Queries: []backend.Query{link, doc}})
	WantEqual(t, "documents", found(e.b, res, "doc"), []string{"1", "2"})
}

func testReferrers(t *testing.T, e *env) {
	link, doc := e.makeDocuments(t)
	req := backend.ResolveRequest{Queries: []backend.Query{link, doc}}
	ops := deletion(req, resolve(t, e.b, req))
	docs, links := ops[0], ops[1]
	docs.Referrers = []backend.Referrer{{Table: table("link"), Columns: []string{"doc"}, References: []string{"id"}, Conditions: ofKind("1")}}
	before := e.Dump(t, "SELECT * FROM doc ORDER BY id")
	_, err := e.b.Execute(ctx, backend.Batch{Operations: []backend.Operation{links, docs}})
	wantError[*backend.StaleError](t, err, "doc") // somebody else has 2
	WantEqual(t, "documents", e.Dump(t, "SELECT * FROM doc ORDER BY id"), before)
	e.Exec(t, `DELETE FROM link WHERE id = 13`)
	WantEqual(t, "affected", execute(t, e.b, []backend.Operation{links, docs}), []int64{5, 4})
	WantEqual(t, "documents", e.Dump(t, "SELECT id FROM doc ORDER BY id"), []string{"4"})
	WantEqual(t, "affected by doing it again", execute(t, e.b, []backend.Operation{links, docs}), []int64{0, 0})
}

func testContains(t *testing.T, e *env) {
	e.Exec(t, `CREATE TABLE mail (id BIGINT PRIMARY KEY, recipients TEXT)`)
	for i, recipients := range []string{
		"ann@example.com", "Ann@Example.COM", "bob@x.org, ann@example.com;eve@x.org", "Ann <ann@example.com>", `["bob@x.org","ann@example.com"]`,
		"bob@x.org\tann@example.com\r\n",                                                                                                                                                                                                                // 1 to 6 are hers
		"joann@example.com", "ann@example.com.au", "x.ann@example.com", "ann@example.com.x", "ann@example.com'x", "x:ann@example.com", "ann@example.com./", "x-ann@example.com", "ann@example.co", "bob@x.org", "", "ann@example_com", "a%@example.com", // nobody's
	} {
		e.Exec(t, `INSERT INTO mail VALUES ($1, $2)`, i+1, recipients)
	}
	e.Exec(t, `INSERT INTO mail VALUES (99, NULL)`)
	match := func(n backend.Normalization, values ...string) []string {
		m := identity("recipients", n, values...)
		m.Identity.Contains = true
		q := backend.Query{Entity: "mail", Table: table("mail"), KeyColumns: []string{"id"}, AnyOf: []backend.Match{m}}
		return found(e.b, resolve(t, e.b, backend.ResolveRequest{Queries: []backend.Query{q}}), "mail")
	}
	WantEqual(t, "as stored", match(backend.None, "ann@example.com"), []string{"1", "3", "4", "5", "6"})
	WantEqual(t, "in lower case", match(backend.LowerCase, "ANN@example.com"), []string{"1", "2", "3", "4", "5", "6"})
	WantEqual(t, "trimmed", match(backend.TrimLowerCase, " ann@example.com "), []string{"1", "2", "3", "4", "5", "6"})
	WantEqual(t, "several", match(backend.None, "joann@example.com", "nobody@x.org"), []string{"7"})
	WantEqual(t, "wildcards", match(backend.LowerCase, "a%@example.com"), []string{"19"})
	WantEqual(t, "wildcards", match(backend.LowerCase, "ann@example_com"), []string{"18"})
	// Every separator parts words, ordinary punctuation may stand around them, and no other character.
	for i, c := range backend.WordSeparators {
		e.Exec(t, `INSERT INTO mail VALUES ($1, $2)`, 100+i, "x"+string(c)+"eve@x.org"+string(c)+"y")
	}
	for i, c := range "abcdefghijklmnopqrstuvwxyz0123456789-_+@/=#$%&*^`~" {
		e.Exec(t, `INSERT INTO mail VALUES ($1, $2)`, 200+i, "eve@x.org"+string(c))
		e.Exec(t, `INSERT INTO mail VALUES ($1, $2)`, 300+i, string(c)+"eve@x.org")
	}
	for i, c := range backend.WordPunctuation {
		for j, text := range []string{"eve@x.org" + string(c), string(c) + "eve@x.org", "so says " + string(c) + "eve@x.org" + string(c) + "\n", "x" + string(c) + "eve@x.org",
			"eve@x.org" + string(c) + "x"} {
			e.Exec(t, `INSERT INTO mail VALUES ($1, $2)`, 400+100*j+i, text)
		}
	}
	e.Exec(t, `INSERT INTO mail VALUES (1000, $1)`, "Write to eve@x.org!?... (or not)")
	for _, n := range []backend.Normalization{backend.None, backend.LowerCase} {
		var want []string
		for i := range backend.WordSeparators {
			want = append(want, fmt.Sprint(100+i))
		}
		for j := range 3 {
			for i := range backend.WordPunctuation {
				want = append(want, fmt.Sprint(400+100*j+i))
			}
		}
		WantEqual(t, "beside separators and punctuation", match(n, "eve@x.org"), append(append([]string{"3"}, want...), "1000"))
	}
	e.Exec(t, `INSERT INTO mail VALUES (20, $1), (21, $2)`, "\u212Aai@x.org", "\u00C4nne@x.org") // the Kelvin sign, and a letter with a lower case
	WantEqual(t, "a look-alike", match(backend.LowerCase, "kai@x.org"), []string(nil))
	WantEqual(t, "a letter outside ASCII", match(backend.LowerCase, "\u00E4nne@x.org"), []string{"21"})
	// Words with separators in them, and with punctuation of their own.
	for i, text := range []string{"Dear Ann Marie, you", "Dear ann marie. You", "Ann  Marie", "Ann, Marie", "Joann Marie", "Ann Mariex", "(Ann Marie)", "a|b", "a|b:c", "b.", "b", "b..", "the .net thing",
		"a.net", "(.*)[^x]$1 \\d", "anything"} {
		e.Exec(t, `INSERT INTO mail VALUES ($1, $2)`, 1100+i, text)
	}
	for identity, want := range map[string][]string{
		"Ann Marie": {"1100", "1106"}, "a|b": {"1107"}, "b.": {"1109"}, "b": {"1107", "1109", "1110", "1111"}, ".net": {"1112"}, "(.*)[^x]$1": {"1114"}, "\\d": {"1114"}, ".*": {"1114"}, "n.M": nil,
	} {
		WantEqual(t, "the phrase "+identity, match(backend.None, identity), want)
	}
	WantEqual(t, "a phrase in lower case", match(backend.LowerCase, "ANN marie"), []string{"1100", "1101", "1106"})
	WantEqual(t, "a phrase with a letter outside ASCII", match(backend.LowerCase, "\u00E4nne marie"), []string(nil))
	m := identity("recipients", backend.None, "canary", " ,\t")
	m.Identity.Contains = true
	_, err := e.b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{{Entity: "mail", Table: table("mail"), KeyColumns: []string{"id"}, AnyOf: []backend.Match{m}}}})
	wantError[*backend.RefusedError](t, err, "mail", "recipients")
}

func testDocumentMembers(t *testing.T, e *env) {
	e.Exec(t, `CREATE TABLE profile (id BIGINT PRIMARY KEY, name VARCHAR(50), doc `+e.Dialect().JSON+`)`)
	docs := []string{
		`{"contact": {"email": "ann@example.com", "phone": "1", "odd name": 3}, "score": 1.50, "tags": ["a", "b"]}`,
		`{"contact": {"phone": null}, "email": "kept"}`, `{}`, `[1, 2]`, `"text"`,
	}
	for i, doc := range docs {
		e.Exec(t, `INSERT INTO profile VALUES ($1, 'n', $2)`, i+1, doc)
	}
	e.Exec(t, `INSERT INTO profile VALUES (6, 'n', NULL), (7, 'n', $1)`, docs[0])
	op := backend.Operation{Entity: "profile", Action: backend.Update, Table: table("profile"), KeyColumns: []string{"id"},
		Columns: []string{"doc", "doc", "name", "doc"}, Members: [][]string{{"contact", "email"}, {"contact", "phone"}, nil, {"contact", "odd name"}}}
	for _, id := range []string{"1", "2", "3", "4", "5", "6"} {
		op.Keys = append(op.Keys, e.keys(id)...)
		op.Set = append(op.Set, []backend.Value{e.value(`"redacted"`), nil, e.value("x"), e.value("null")})
	}
	ops := []backend.Operation{op}
	wantLeft(t, e.b, ops, 6) // all have another name
	WantEqual(t, "affected", execute(t, e.b, ops), []int64{6})
	wantLeft(t, e.b, ops, 0)
	WantEqual(t, "affected by doing it again", execute(t, e.b, ops), []int64{0})
	// Databases differ in the order of members and in white space.
	plain := func(rows []string) []string {
		for i, row := range rows {
			id, doc, _ := strings.Cut(row, "|")
			var parsed any
			if json.Unmarshal([]byte(doc), &parsed) == nil {
				text, _ := json.Marshal(parsed)
				rows[i] = id + "|" + string(text)
			}
		}
		return rows
	}
	got := e.Dump(t, "SELECT id, doc FROM profile WHERE id < 7 AND id > 1 ORDER BY id")
	WantEqual(t, "documents", plain(got), plain([]string{`2|{"email": "kept", "contact": {}}`, `3|{}`, `4|[1, 2]`, `5|"text"`, `6|NULL`}))
	one := strings.Join(plain(e.Dump(t, "SELECT id, doc FROM profile WHERE id = 1")), "")
	for _, part := range []string{`"email":"redacted"`, `"odd name":null`, `"score":1.5`, `"tags":["a","b"]`} {
		if !strings.Contains(one, part) {
			t.Errorf("the document %s has no %s", one, part)
		}
	}
	if strings.Contains(one, "phone") {
		t.Errorf("the document %s still has the member that was to be removed", one)
	}
	seven := e.Dump(t, "SELECT doc FROM profile WHERE id = 7")
	if !strings.Contains(seven[0], "ann@example.com") {
		t.Errorf("somebody else's document changed: %s", seven[0])
	}
	// Many members of one column are one change.
	many := backend.Operation{Entity: "profile", Action: backend.Update, Table: table("profile"), KeyColumns: []string{"id"}, Keys: e.keys("7"), Set: [][]backend.Value{nil}}
	for i := range 12 {
		many.Columns, many.Members = append(many.Columns, "doc"), append(many.Members, []string{"contact", fmt.Sprint("m", i)})
		many.Set[0] = append(many.Set[0], e.value(`"x"`))
	}
	many.Members[11], many.Set[0][11] = []string{"contact", "email"}, nil
	WantEqual(t, "affected", execute(t, e.b, []backend.Operation{many}), []int64{1})
	wantLeft(t, e.b, []backend.Operation{many}, 0)
	e.testSpelling(t)
	op.Members[0] = []string{`a"b`}
	_, err := e.b.Execute(ctx, backend.Batch{Operations: []backend.Operation{op}})
	wantError[*backend.RefusedError](t, err, "profile", "member")
}

func testNoDocument(t *testing.T, e *env) {
	e.Exec(t, `CREATE TABLE letter (id BIGINT PRIMARY KEY, state VARCHAR(50), doc TEXT NOT NULL)`)
	docs := []string{"", " \n\t\r", `{"email": "ann@example.com", "n": 1}`, `{"n": 1}`}
	for i, doc := range docs {
		e.Exec(t, `INSERT INTO letter VALUES ($1, 'old', $2)`, i+1, doc)
	}
	op := backend.Operation{Entity: "letter", Action: backend.Update, Table: table("letter"), KeyColumns: []string{"id"},
		Columns: []string{"doc", "state", "doc"}, Members: [][]string{{"email"}, nil, {"n"}}, Keys: e.keys("1", "2", "3", "4")}
	for range docs {
		op.Set = append(op.Set, []backend.Value{nil, e.value("new"), e.value("2")})
	}
	ops := []backend.Operation{op}
	wantLeft(t, e.b, ops, 4)
	WantEqual(t, "affected", execute(t, e.b, ops), []int64{4})
	wantLeft(t, e.b, ops, 0)
	WantEqual(t, "blank texts", e.Dump(t, "SELECT doc FROM letter WHERE id < 3 ORDER BY id"), docs[:2])
	WantEqual(t, "states", e.Dump(t, "SELECT DISTINCT state FROM letter"), []string{"new"})
	for _, doc := range e.Dump(t, "SELECT doc FROM letter WHERE id > 2 ORDER BY id") {
		var parsed map[string]int
		if err := json.Unmarshal([]byte(doc), &parsed); err != nil || len(parsed) != 1 || parsed["n"] != 2 {
			t.Errorf("a document is now %s", doc)
		}
	}
	for _, doc := range []string{"canary", `{"email": "canary@example.com"`, `{'email': 'canary'}x`} {
		e.Exec(t, `UPDATE letter SET doc = $1, state = 'old'`, doc)
		_, err := e.b.Execute(ctx, backend.Batch{Operations: ops})
		wantError[*backend.RefusedError](t, err, "letter", "JSON", "overwrite")
		WantEqual(t, "states", e.Dump(t, "SELECT DISTINCT state FROM letter"), []string{"old"})
	}
}

// testSpelling: the same name can be written in several ways, and is, by PHP, Python, .NET and others.
func (e *env) testSpelling(t *testing.T) {
	t.Helper()
	docs := []string{`{"stra\u00dfe/1": {"n\u00famero <&>": "x", "keep": 1}}`, `{"stra\u00DFe/1": {"n\u00FAmero \u003C\u0026\u003E": "x", "keep": 1}}`,
		`{"stra\u00dfe\/1": {"n\u00famero <&>": "x", "keep": 1}}`, `{"straße/1": {"número \u003c\u0026\u003e": "x", "keep": 1}}`, `{"straße/1": {"número <&>": "x", "keep": 1}}`,
		`{"straße/1": {"keep": 1}}`, `{"keep": 1}`}
	op := backend.Operation{Entity: "profile", Action: backend.Update, Table: table("profile"), KeyColumns: []string{"id"}, Columns: []string{"doc"},
		Members: [][]string{{"straße/1", "número <&>"}}}
	for i, doc := range docs {
		e.Exec(t, `INSERT INTO profile VALUES ($1, 'n', $2)`, 100+i, doc)
		op.Keys, op.Set = append(op.Keys, e.keys(fmt.Sprint(100+i))...), append(op.Set, []backend.Value{e.value(`"gone"`)})
	}
	ops := []backend.Operation{op}
	wantLeft(t, e.b, ops, 5)
	WantEqual(t, "affected", execute(t, e.b, ops), []int64{5})
	wantLeft(t, e.b, ops, 0)
	for i := range ops[0].Set {
		ops[0].Set[i] = []backend.Value{nil}
	}
	WantEqual(t, "removed", execute(t, e.b, ops), []int64{5})
	wantLeft(t, e.b, ops, 0)
	for _, doc := range e.Dump(t, "SELECT doc FROM profile WHERE id >= 100 ORDER BY id") {
		if strings.Contains(doc, "gone") || strings.Contains(doc, `"x"`) || !strings.Contains(doc, "keep") {
			t.Errorf("the document is %s", doc)
		}
	}
	// A spelling that nobody uses: the member is changed, or the batch fails, but it does not stay in silence.
	for _, c := range []struct{ doc, name string }{{`{"\u0065mail": "x"}`, "email"}, {`{"a\u0009b": "x"}`, "a\tb"}, {`{"a\tb": "x"}`, "a\tb"}, {`{"-": "x"}`, "-"}, {`{"\u00dF": "x"}`, "ß"}} {
		e.Exec(t, `DELETE FROM profile WHERE id = 200`)
		e.Exec(t, `INSERT INTO profile VALUES (200, 'n', $1)`, c.doc)
		odd := backend.Operation{Entity: "profile", Action: backend.Update, Table: table("profile"), KeyColumns: []string{"id"}, Keys: e.keys("200"), Columns: []string{"doc"},
			Members: [][]string{{c.name}}, Set: [][]backend.Value{{e.value(`"gone"`)}}}
		_, err := e.b.Execute(ctx, backend.Batch{Operations: []backend.Operation{odd}})
		if left := e.Dump(t, "SELECT doc FROM profile WHERE id = 200")[0]; strings.Contains(left, `"x"`) != (err != nil) {
			t.Errorf("%q in %s: %v, and the document is %s", c.name, c.doc, err, left)
		}
	}
}
