package backendtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/internal/backend"
)

// KeyStore is an empty store of keys with Redis' types and commands, for one test.
type KeyStore interface {
	// Open opens the backend under test with the credentials that Lethe would have. StatementTimeout is that of a round trip.
	Open(t *testing.T, l Limits) backend.Backend
	// Do runs a command as the application; nil is what is not there.
	Do(t *testing.T, args ...any) any
	// Names lists all keys in order.
	Names(t *testing.T) []string
	// Stop takes the server away until the returned function is called; its data stay.
	Stop(t *testing.T) (start func())
	// Pause makes the server take connections and answer nothing until the returned function is called.
	Pause(t *testing.T) (resume func())
	// Forbid takes the right to use a command from Lethe.
	Forbid(t *testing.T, command string)
}

// RunKeys runs the suite for stores of keys. fresh makes an empty store. All keys and members hold the word canary, which
// no error may name.
func RunKeys(t *testing.T, fresh func(t *testing.T) KeyStore) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, k *keys)
	}{
		{"finds keys by their exact name", testExactKeys},
		{"finds keys by patterns and tells which led there", testKeyPatterns},
		{"finds members of hashes, sets and sorted sets", testKeyMembers},
		{"no id reaches another's keys", testNastyKeyIDs},
		{"no member reaches another", testNastyKeyMembers},
		{"refuses paths that are everybody's, or nobody's", testRefusedKeyPaths},
		{"a key of another type is refused", testWrongKeyType},
		{"removes what is planned and nothing else", testRemoveKeys},
		{"waits before a key goes", testBeforeRemoveKeys},
		{"removes more than one batch", testManyKeys},
		{"a key that expires meanwhile is done", testKeyExpiry},
		{"ends a batch that was begun", testKeysHalfDone},
		{"stops at too many keys", testTooManyKeys},
		{"refuses what keys have not", testWrongKeyOperations},
		{"a cancelled call is unavailable, and no key goes", testCancelKeys},
		{"a stopped server is unavailable, and its keys are found again", testStopKeys},
		{"a server that hangs is unavailable", testPauseKeys},
		{"missing rights are refused, and no key goes", testForbidKeys},
		{"calls run concurrently on keys", testConcurrentKeys},
		{"leaves everybody else's keys alone", testForeignKeys},
		{"describes itself", testDescribeKeys},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := &keys{KeyStore: fresh(t)}
			k.seed(t)
			k.b = k.Open(t, Limits{BatchSize: 7})
			c.test(t, k)
		})
	}
}

// keys is a store with the suite's keys.
type keys struct {
	KeyStore
	b backend.Backend
}

// seed has keys of the subject 1 and of others.
func (k *keys) seed(t *testing.T) {
	t.Helper()
	for _, name := range []string{"1:a", "1:b", "10:a", "11:a", "2:a", "1"} {
		k.Do(t, "SET", "canary:session:"+name, "canary")
	}
	k.Do(t, "SET", "canary:cart:1:x", "canary")
	for _, id := range []string{"1", "10"} {
		k.Do(t, "HSET", "canary:user:"+id, "canary-mail", "canary", "canary-name", "canary")
		k.Do(t, "SADD", "canary:team", "canary-"+id)
		k.Do(t, "ZADD", "canary:rank", "0", "canary-"+id)
	}
}

func keyPaths(ps ...backend.Path) backend.ResolveRequest {
	return backend.ResolveRequest{Queries: []backend.Query{{Entity: "keys", Paths: ps}}}
}

func keyPattern(p string) backend.Path { return backend.Path{Path: p, Kind: backend.KeyPattern} }

// keyOf is the notation of a row, which marshals a key or member that is not UTF-8 in base64.
func keyOf(parts ...string) string {
	list := make([]any, len(parts))
	for i, p := range parts {
		list[i] = p
		if !utf8.ValidString(p) {
			list[i] = map[string][]byte{"base64": []byte(p)}
		}
	}
	out, err := json.Marshal(list)
	if err != nil {
		panic(err)
	}
	return string(out)
}

func wholeKeys(names ...string) []string {
	list := make([]string, len(names))
	for i, n := range names {
		list[i] = keyOf("Key", n)
	}
	slices.Sort(list)
	return list
}

// plannedKeys is the removal of rows, as it comes back from a plan.
func plannedKeys(t *testing.T, rows ...string) []backend.Operation {
	t.Helper()
	op := backend.Operation{Entity: "keys", Action: backend.Unlink, Keys: []backend.Key{}}
	for _, r := range rows {
		op.Keys = append(op.Keys, backend.Key{r})
	}
	sealed, err := json.Marshal([]backend.Operation{op})
	if err != nil {
		t.Fatal(err)
	}
	var ops []backend.Operation
	if err := json.Unmarshal(sealed, &ops); err != nil {
		t.Fatal(err)
	}
	return ops
}

// find resolves paths and returns the rows.
func (k *keys) find(t *testing.T, ps ...backend.Path) []string {
	t.Helper()
	return found(k.b, resolve(t, k.b, keyPaths(ps...)), "keys")
}

// keysWithout are the names that are left when some went.
func keysWithout(names []string, gone ...string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(gone, n) })
}

func testExactKeys(t *testing.T, k *keys) {
	k.Do(t, "SET", `canary:*?[a]\`, "")
	k.Do(t, "SET", `canary:xyz`, "")
	WantEqual(t, "keys", k.find(t, keyPattern("canary:session:1"), keyPattern("canary:session:3"), keyPattern("canary:session:2:a"),
		keyPattern(`canary:\session:1`), keyPattern("canary:team")), wholeKeys("canary:session:1", "canary:session:2:a", "canary:team"))
	WantEqual(t, "escaped", k.find(t, keyPattern(`canary:\*\?\[a\]\\`)), wholeKeys(`canary:*?[a]\`))
	WantEqual(t, "nothing", len(k.find(t, keyPattern("canary:session:3"), keyPattern("canary:Session:1"), keyPattern("canary:session:1 "))), 0)
	WantEqual(t, "no paths", len(k.find(t)), 0)
}

func testKeyPatterns(t *testing.T, k *keys) {
	WantEqual(t, "one", k.find(t, keyPattern("canary:session:1:*")), wholeKeys("canary:session:1:a", "canary:session:1:b"))
	WantEqual(t, "one character", k.find(t, keyPattern("canary:session:1?:a")), wholeKeys("canary:session:10:a", "canary:session:11:a"))
	WantEqual(t, "class", k.find(t, keyPattern("canary:session:[^1]:*")), wholeKeys("canary:session:2:a"))
	WantEqual(t, "begin", k.find(t, keyPattern("*:cart:1:*")), wholeKeys("canary:cart:1:x"))
	for _, more := range []int{0, 5} { // patterns that have nothing in common, few and many
		ps := []backend.Path{keyPattern("canary:session:1:*"), keyPattern("*:1:a"), keyPattern("canary:session:1:a"), keyPattern("canary:session:1:*")}
		for i := range more {
			ps = append(ps, keyPattern(fmt.Sprintf("%d*", i)))
		}
		res := resolve(t, k.b, keyPaths(ps...))
		WantEqual(t, "keys", found(k.b, res, "keys"), wholeKeys("canary:session:1:a", "canary:session:1:b"))
		WantEqual(t, "paths", [][]int{res.Rows["keys"][0].Paths, res.Rows["keys"][1].Paths}, [][]int{{0, 1, 2, 3}, {0, 3}})
		WantEqual(t, "names", foundNames(res.Rows["keys"]), []string{"canary:session:1:a", "canary:session:1:b"})
	}
	res := resolve(t, k.b, backend.ResolveRequest{Queries: []backend.Query{
		{Entity: "sessions", Paths: []backend.Path{keyPattern("canary:session:1:*")}, Columns: []string{"x"}},
		{Entity: "carts", Paths: []backend.Path{keyPattern("canary:cart:1:*")}}, {Entity: "none"},
	}})
	WantEqual(t, "sessions", found(k.b, res, "sessions"), wholeKeys("canary:session:1:a", "canary:session:1:b"))
	WantEqual(t, "carts", found(k.b, res, "carts"), wholeKeys("canary:cart:1:x"))
	WantEqual(t, "none", len(res.Rows["none"]), 0)
	WantEqual(t, "values", len(res.Rows["sessions"][0].Values), 1)
}

func hashField(key, member string) backend.Path {
	return backend.Path{Path: key, Kind: backend.HashField, Member: member}
}

func setMember(key, member string) backend.Path {
	return backend.Path{Path: key, Kind: backend.SetMember, Member: member}
}

func sortedMember(key, member string) backend.Path {
	return backend.Path{Path: key, Kind: backend.SortedSetMember, Member: member}
}

func testKeyMembers(t *testing.T, k *keys) {
	rows := k.find(t, hashField("canary:user:1", "canary-mail"), hashField("canary:user:1", "canary-other"), hashField("canary:user:3", "canary-mail"),
		hashField("canary:user:*", "canary-mail"), setMember("canary:team", "canary-1"), setMember("canary:team", "canary-3"),
		sortedMember("canary:rank", "canary-1"), sortedMember("canary:rank", "canary-3"), sortedMember("canary:none", "canary-1"))
	want := []string{keyOf("HashField", "canary:user:1", "canary-mail"), keyOf("SetMember", "canary:team", "canary-1"),
		keyOf("SortedSetMember", "canary:rank", "canary-1")}
	WantEqual(t, "members", rows, want)
	ops := plannedKeys(t, rows...)
	wantLeft(t, k.b, ops, 3)
	WantEqual(t, "affected", execute(t, k.b, ops), []int64{3})
	wantLeft(t, k.b, ops, 0)
	WantEqual(t, "again", execute(t, k.b, ops), []int64{0})
	WantEqual(t, "hash", k.Do(t, "HKEYS", "canary:user:1"), any([]any{"canary-name"}))
	WantEqual(t, "other hash", k.Do(t, "HLEN", "canary:user:10"), any(int64(2)))
	WantEqual(t, "set", k.Do(t, "SMEMBERS", "canary:team"), any([]any{"canary-10"}))
	WantEqual(t, "sorted set", k.Do(t, "ZRANGE", "canary:rank", 0, -1), any([]any{"canary-10"}))
}

// nastyIDs are ids that are alike, or that a pattern, a quotation or a terminal would read as something else.
var nastyIDs = []string{"1", "10", "01", " 1", "1 ", "*", "?", "[1]", "[^1]", "[", "]", "1*", "**", `\`, `\*`, `a\b`, "'", `"`, "\n", "\r\n", "\x00", "-", "^",
	"é", "e\u0301", "id", "ID", "ıd", "K", "\u212a", "{1}", "{", "💥", "\u200b1", "\ufffd", "\xff", "\xfe", "\xff\xfe", `{"base64":"/w=="}`, "$1", "<1>",
	"\u2028", strings.Repeat("n", 10_000), strings.Repeat("n", 9_999)}

// escapeGlob makes a pattern that matches the id alone.
func escapeGlob(id string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `^`, `\^`, `-`, `\-`).Replace(id)
}

func testNastyKeyIDs(t *testing.T, k *keys) {
	for _, id := range nastyIDs {
		k.Do(t, "SET", "canary:n:"+id+":k", "")
		k.Do(t, "SET", "canary:m:"+id, "")
	}
	left := k.Names(t)
	for _, id := range nastyIDs {
		p, exact := keyPattern("canary:n:"+escapeGlob(id)+":*"), keyPattern("canary:m:"+escapeGlob(id))
		gone := []string{"canary:n:" + id + ":k", "canary:m:" + id}
		rows := k.find(t, p, exact)
		if want := wholeKeys(gone...); !slices.Equal(rows, want) {
			t.Fatalf("%.20q: found %.200q, want %.200q", id, rows, want)
		}
		ops := plannedKeys(t, rows...)
		wantLeft(t, k.b, ops, 2)
		WantEqual(t, "affected", execute(t, k.b, ops), []int64{2})
		wantLeft(t, k.b, ops, 0)
		left = keysWithout(left, gone...)
		if got := k.Names(t); !slices.Equal(got, left) {
			t.Fatalf("%.20q: %d keys are left, want %d", id, len(got), len(left))
		}
	}
}

func testNastyKeyMembers(t *testing.T, k *keys) {
	for _, id := range nastyIDs {
		k.Do(t, "HSET", "canary:h", id, "canary")
		k.Do(t, "SADD", "canary:s", id)
		k.Do(t, "ZADD", "canary:z", "1", id)
	}
	for i, id := range nastyIDs {
		rows := k.find(t, hashField("canary:h", id), setMember("canary:s", id), sortedMember("canary:z", id))
		want := []string{keyOf("HashField", "canary:h", id), keyOf("SetMember", "canary:s", id), keyOf("SortedSetMember", "canary:z", id)}
		if !slices.Equal(rows, want) {
			t.Fatalf("%.20q: found %.200q, want %.200q", id, rows, want)
		}
		ops := plannedKeys(t, rows...)
		WantEqual(t, "affected", execute(t, k.b, ops), []int64{3})
		wantLeft(t, k.b, ops, 0)
		left := int64(len(nastyIDs) - 1 - i)
		for _, count := range []any{k.Do(t, "HLEN", "canary:h"), k.Do(t, "SCARD", "canary:s"), k.Do(t, "ZCARD", "canary:z")} {
			WantEqual(t, "left", count, any(left))
		}
	}
}

func testRefusedKeyPaths(t *testing.T, k *keys) {
	before := k.Names(t)
	for _, p := range []backend.Path{
		keyPattern(""), keyPattern("*"), keyPattern("**"), keyPattern("?*"), keyPattern("[a-z]*"), keyPattern("*[^x]?"), keyPattern("[]"),
		keyPattern("canary:["), keyPattern("canary:[a"), keyPattern("canary:[a-"), keyPattern("canary:[a-]"), keyPattern(`canary:[a\]`),
		keyPattern(`canary:\`), keyPattern(`canary:*\`), keyPattern("canary:[é]*"), keyPattern("canary:[a-\xff]*"), keyPattern(`canary:[\é]*`),
		keyPattern(strings.Repeat("a*", 101)),
		hashField("", "canary"), hashField("canary", ""), setMember("", "canary"), setMember("canary", ""), sortedMember("", "canary"), sortedMember("canary", ""),
		{Path: "canary"}, {Path: "canary", Kind: backend.File}, {Path: "canary", Kind: backend.Directory}, {Path: "canary", Kind: backend.Prefix},
		{Path: "canary", Kind: backend.Resource}, {Path: "canary", Kind: "Other"},
	} {
		_, err := k.b.Resolve(ctx, keyPaths(keyPattern("canary:session:1:*"), p))
		var refused *backend.RefusedError
		if !errors.As(err, &refused) {
			t.Errorf("%s %q: %v", p.Kind, p.Path, err)
			continue
		}
		wantError[*backend.RefusedError](t, err, "entity keys")
	}
	_, err := k.b.Resolve(ctx, subject("1"))
	wantError[*backend.RefusedError](t, err, "person")
	WantEqual(t, "names", k.Names(t), before)
}

func testWrongKeyType(t *testing.T, k *keys) {
	before := k.Names(t)
	for _, kind := range []backend.PathKind{backend.HashField, backend.SetMember, backend.SortedSetMember} {
		_, err := k.b.Resolve(ctx, keyPaths(backend.Path{Path: "canary:session:1", Kind: kind, Member: "canary-1"}))
		wantError[*backend.RefusedError](t, err, "entity keys", "another type")
		ops := plannedKeys(t, keyOf(string(kind), "canary:session:1", "canary-1"), keyOf("Key", "canary:cart:1:x"))
		_, err = k.b.Verify(ctx, ops)
		wantError[*backend.RefusedError](t, err, "entity keys", "another type")
		k.Do(t, "SET", "canary:cart:1:x", "canary")
		_, err = k.b.Execute(ctx, backend.Batch{Operations: ops})
		wantError[*backend.RefusedError](t, err, "entity keys", "another type")
		// What can be done is done.
		WantEqual(t, "names", k.Names(t), keysWithout(before, "canary:cart:1:x"))
	}
}

func testRemoveKeys(t *testing.T, k *keys) {
	before := k.Names(t)
	ops := plannedKeys(t, k.find(t, keyPattern("canary:session:1:*"), keyPattern("canary:session:1"), keyPattern("canary:user:1"))...)
	wantLeft(t, k.b, ops, 4)
	WantEqual(t, "names", k.Names(t), before)
	WantEqual(t, "affected", execute(t, k.b, ops), []int64{4})
	wantLeft(t, k.b, ops, 0)
	left := keysWithout(before, "canary:session:1:a", "canary:session:1:b", "canary:session:1", "canary:user:1")
	WantEqual(t, "names", k.Names(t), left)
	WantEqual(t, "again", execute(t, k.b, ops), []int64{0})
	k.Do(t, "SET", "canary:session:1:a", "")
	wantLeft(t, k.b, ops, 1)
	WantEqual(t, "what came back", execute(t, k.b, ops), []int64{1})
	two := append(plannedKeys(t, wholeKeys("canary:session:2:a")...), plannedKeys(t, wholeKeys("canary:cart:1:x", "canary:none")...)...)
	wantLeft(t, k.b, two, 1, 1)
	WantEqual(t, "two operations", execute(t, k.b, two), []int64{1, 1})
	WantEqual(t, "no operation", execute(t, k.b, nil), []int64{})
	if _, ok := k.b.(backend.Transactional); ok {
		t.Error("a store of keys is not transactional")
	}
}

func testBeforeRemoveKeys(t *testing.T, k *keys) {
	before := k.Names(t)
	ops := plannedKeys(t, wholeKeys("canary:session:1")...)
	_, err := k.b.Execute(ctx, backend.Batch{Operations: ops, BeforeEffect: func(context.Context) error { return errNotYet }})
	if !errors.Is(err, errNotYet) {
		t.Errorf("removed although it was refused: %v", err)
	}
	WantEqual(t, "names", k.Names(t), before)
	calls := 0
	_, err = k.b.Execute(ctx, backend.Batch{Operations: ops, BeforeEffect: func(context.Context) error {
		WantEqual(t, "names", k.Names(t), before)
		calls++
		return nil
	}})
	if err != nil || calls != 1 {
		t.Errorf("permitted: %v, called %d times", err, calls)
	}
	wantLeft(t, k.b, ops, 0)
}

// fill makes n keys with a prefix.
func (k *keys) fill(t *testing.T, prefix string, n int) (names []string) {
	t.Helper()
	for i := range n {
		names = append(names, fmt.Sprint(prefix, i))
		k.Do(t, "SET", names[i], "canary")
	}
	return names
}

func testManyKeys(t *testing.T, k *keys) {
	before := k.Names(t)
	names := k.fill(t, "canary:many:1:", 1500)
	k.fill(t, "canary:many:10:", 100)
	rows := k.find(t, keyPattern("canary:many:1:*"))
	WantEqual(t, "keys", rows, wholeKeys(names...))
	ops := plannedKeys(t, rows...)
	wantLeft(t, k.b, ops, 1500)
	WantEqual(t, "affected", execute(t, k.b, ops), []int64{1500})
	wantLeft(t, k.b, ops, 0)
	WantEqual(t, "left", len(k.Names(t)), len(before)+100)
}

func testKeyExpiry(t *testing.T, k *keys) {
	k.Do(t, "SET", "canary:brief:1", "canary", "PX", 1)
	k.Do(t, "SET", "canary:brief:2", "canary")
	ops := plannedKeys(t, wholeKeys("canary:brief:1", "canary:brief:2", "canary:brief:3")...)
	for k.Do(t, "EXISTS", "canary:brief:1") != any(int64(0)) {
		clock.RealClock{}.Sleep(time.Millisecond)
	}
	WantEqual(t, "keys", k.find(t, keyPattern("canary:brief:*"), keyPattern("canary:brief:1")), wholeKeys("canary:brief:2"))
	wantLeft(t, k.b, ops, 1)
	WantEqual(t, "affected", execute(t, k.b, ops), []int64{1})
	wantLeft(t, k.b, ops, 0)
}

func testKeysHalfDone(t *testing.T, k *keys) {
	names := k.fill(t, "canary:half:", 40)
	ops := plannedKeys(t, wholeKeys(names...)...)
	WantEqual(t, "half", execute(t, k.b, plannedKeys(t, wholeKeys(names[:15]...)...)), []int64{15})
	wantLeft(t, k.b, ops, 25)
	// Ended in the middle, after some round trips.
	c, cancel := context.WithCancel(ctx)
	_, err := k.b.Execute(c, backend.Batch{Operations: ops, BeforeEffect: func(context.Context) error { cancel(); return nil }})
	wantError[*backend.UnavailableError](t, err)
	wantLeft(t, k.b, ops, 25)
	again := k.Open(t, Limits{})
	WantEqual(t, "the rest", execute(t, again, ops), []int64{25})
	wantLeft(t, again, ops, 0)
}

func testTooManyKeys(t *testing.T, k *keys) {
	k.fill(t, "canary:much:1:", 20)
	req := keyPaths(keyPattern("canary:much:1:*"), keyPattern("canary:much:1:1*"), keyPattern("canary:much:1:1"))
	req.Queries = append(req.Queries, backend.Query{Entity: "other", Paths: []backend.Path{setMember("canary:team", "canary-1")}})
	req.MaxRows = 21
	resolve(t, k.b, req)
	req.MaxRows = 20
	_, err := k.b.Resolve(ctx, req)
	wantError[*backend.TooManyRowsError](t, err)
	req.MaxRows = 1
	_, err = k.b.Resolve(ctx, req)
	wantError[*backend.TooManyRowsError](t, err)
}

func testWrongKeyOperations(t *testing.T, k *keys) {
	before := k.Names(t)
	good := keyOf("Key", "canary:session:1")
	ops := []backend.Operation{
		{Entity: "keys", Action: backend.Delete, Keys: []backend.Key{{good}}},
		{Entity: "keys", Action: backend.Update, Keys: []backend.Key{{good}}},
		{Entity: "keys", Action: backend.Unlink, Keys: []backend.Key{{good, good}}},
		{Entity: "keys", Action: backend.Unlink, Keys: []backend.Key{{}}},
	}
	for _, bad := range []string{"", "canary:session:1", `"canary"`, `["Key"]`, `["Key",""]`, `["Key","canary:session:1","canary"]`, `["key","canary:session:1"]`,
		`["Key", "canary:session:1"]`, `["Key","canary:session:1"]x`, `["HashField","canary:user:1"]`, `["HashField","canary:user:1",""]`,
		`["KeyPattern","canary:*"]`, `["Key",{"base64":"Y2FuYXJ5OnNlc3Npb246MQ=="}]`, `["Key",{"base64":"canary!"}]`, `["Key",{}]`, `["Key",null]`, `["Key",1]`,
		`{"Key":"canary:session:1"}`, `["Key","canary\u003asession:1"]`, `[["Key"],"canary:session:1"]`} {
		ops = append(ops, backend.Operation{Entity: "keys", Action: backend.Unlink, Keys: []backend.Key{{bad}}})
	}
	for _, op := range ops {
		// The good operation before the bad one is not begun.
		_, err := k.b.Execute(ctx, backend.Batch{Operations: append(plannedKeys(t, good), op)})
		wantError[*backend.RefusedError](t, err, "entity keys")
		_, err = k.b.Verify(ctx, append(plannedKeys(t, good), op))
		wantError[*backend.RefusedError](t, err, "entity keys")
	}
	WantEqual(t, "names", k.Names(t), before)
}

func testCancelKeys(t *testing.T, k *keys) {
	before := k.Names(t)
	c, cancel := context.WithCancel(ctx)
	cancel()
	k.failAll(t, c, k.b)
	WantEqual(t, "names", k.Names(t), before)
}

// failAll makes every call, and wants each to be unavailable.
func (k *keys) failAll(t *testing.T, c context.Context, b backend.Backend) {
	t.Helper()
	ops := plannedKeys(t, wholeKeys("canary:session:1")...)
	_, err := b.Resolve(c, keyPaths(keyPattern("canary:session:1:*")))
	wantError[*backend.UnavailableError](t, err)
	_, err = b.Resolve(c, keyPaths(keyPattern("canary:session:1")))
	wantError[*backend.UnavailableError](t, err)
	_, err = b.Execute(c, backend.Batch{Operations: ops})
	wantError[*backend.UnavailableError](t, err)
	_, err = b.Verify(c, ops)
	wantError[*backend.UnavailableError](t, err)
	_, err = b.Describe(c)
	wantError[*backend.UnavailableError](t, err)
}

func testStopKeys(t *testing.T, k *keys) {
	b := k.Open(t, Limits{StatementTimeout: 2 * time.Second})
	before := k.Names(t)
	ops := plannedKeys(t, wholeKeys("canary:session:1")...)
	wantLeft(t, b, ops, 1)
	start := k.Stop(t)
	k.failAll(t, ctx, b)
	start()
	WantEqual(t, "names", k.Names(t), before)
	k.untilBack(t, b)
	wantLeft(t, b, ops, 1)
	WantEqual(t, "affected", execute(t, b, ops), []int64{1})
	wantLeft(t, b, ops, 0)
}

// untilBack waits until the backend has noticed that its server is back.
func (k *keys) untilBack(t *testing.T, b backend.Backend) {
	t.Helper()
	c, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		_, err := b.Describe(c)
		if err == nil {
			return
		}
		wantError[*backend.UnavailableError](t, err)
		if c.Err() != nil {
			t.Fatal("the server is not found again")
		}
		clock.RealClock{}.Sleep(10 * time.Millisecond)
	}
}

func testPauseKeys(t *testing.T, k *keys) {
	before := k.Names(t)
	b := k.Open(t, Limits{StatementTimeout: 200 * time.Millisecond})
	ops := plannedKeys(t, wholeKeys("canary:session:1")...)
	wantLeft(t, b, ops, 1)
	patient := k.Open(t, Limits{StatementTimeout: time.Hour})
	wantLeft(t, patient, ops, 1)
	resume := k.Pause(t)
	k.failAll(t, ctx, b)
	// A caller who goes does not wait for the timeout.
	c, cancel := context.WithCancel(ctx)
	begun := make(chan struct{})
	go func() { <-begun; cancel() }()
	close(begun)
	_, err := patient.Verify(c, ops)
	wantError[*backend.UnavailableError](t, err)
	resume()
	b = k.Open(t, Limits{})
	WantEqual(t, "names", k.Names(t), before)
	wantLeft(t, b, ops, 1)
	WantEqual(t, "affected", execute(t, b, ops), []int64{1})
}

func testForbidKeys(t *testing.T, k *keys) {
	before := k.Names(t)
	resolveKeys := func() error {
		_, err := k.b.Resolve(ctx, keyPaths(keyPattern("canary:session:1:*"), setMember("canary:team", "canary-1")))
		return err
	}
	ops := plannedKeys(t, keyOf("Key", "canary:session:1"), keyOf("SetMember", "canary:team", "canary-1"))
	run := func() error {
		_, err := k.b.Execute(ctx, backend.Batch{Operations: ops})
		return err
	}
	verify := func() error {
		_, err := k.b.Verify(ctx, ops)
		return err
	}
	k.Forbid(t, "unlink")
	k.Forbid(t, "srem")
	wantError[*backend.RefusedError](t, run(), "entity keys", "rights", "+unlink")
	WantEqual(t, "names", k.Names(t), before)
	WantEqual(t, "set", k.Do(t, "SCARD", "canary:team"), any(int64(2)))
	k.Forbid(t, "exists")
	wantError[*backend.RefusedError](t, verify(), "entity keys", "rights", "+exists")
	k.Forbid(t, "scan")
	wantError[*backend.RefusedError](t, resolveKeys(), "entity keys", "rights", "+scan")
}

func testConcurrentKeys(t *testing.T, k *keys) {
	var wg sync.WaitGroup
	for i := range 16 {
		names := k.fill(t, fmt.Sprintf("canary:many:%d:", i), 20)
		wg.Go(func() {
			res, err := k.b.Resolve(ctx, keyPaths(keyPattern(fmt.Sprintf("canary:many:%d:*", i))))
			if err != nil {
				t.Errorf("Resolve: %v", err)
				return
			}
			rows := found(k.b, res, "keys")
			WantEqual(t, "keys", rows, wholeKeys(names...))
			done, err := k.b.Execute(ctx, backend.Batch{Operations: plannedKeys(t, rows...)})
			if err != nil {
				t.Errorf("Execute: %v", err)
				return
			}
			WantEqual(t, "affected", done.Affected, []int64{20})
		})
	}
	wg.Wait()
	for _, n := range k.Names(t) {
		if strings.HasPrefix(n, "canary:many:") {
			t.Errorf("%s is left", n)
		}
	}
}

func testForeignKeys(t *testing.T, k *keys) {
	args := []any{}
	for i := range 50_000 {
		args = append(args, "canary:foreign:"+fmt.Sprint(i)+":s", fmt.Sprint(i))
		if len(args) == 2000 {
			k.Do(t, append([]any{"MSET"}, args...)...)
			args = args[:0]
		}
	}
	names := k.fill(t, "canary:foreign:4711:", 50)
	before := k.Names(t)
	WantEqual(t, "keys", len(before) > 50_000, true)
	rows := k.find(t, keyPattern("canary:foreign:4711:[0-9]*"), keyPattern("canary:session:1:*"), keyPattern("*:cart:1:*"))
	gone := append(slices.Clone(names), "canary:session:1:a", "canary:session:1:b", "canary:cart:1:x")
	WantEqual(t, "found", rows, wholeKeys(gone...))
	WantEqual(t, "affected", execute(t, k.b, plannedKeys(t, rows...)), []int64{53})
	set := map[string]bool{}
	for _, n := range gone {
		set[n] = true
	}
	left := slices.DeleteFunc(before, func(n string) bool { return set[n] })
	if got := k.Names(t); !slices.Equal(got, left) {
		t.Errorf("%d keys are left, want %d", len(got), len(left))
	}
	WantEqual(t, "a value", k.Do(t, "GET", "canary:foreign:4711:s"), any("4711"))
}

func testDescribeKeys(t *testing.T, k *keys) {
	d, err := k.b.Describe(ctx)
	if err != nil || !strings.HasPrefix(d.Version, "Redis ") || len(d.Excessive) > 0 {
		t.Errorf("Describe: %+v, %v", d, err)
	}
}
