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

	"github.com/lethe-dev/lethe/internal/backend"
)

// Resources is a service for one test that knows records of the types contact and invoice, and holds none. An implementer
// of the contract can pass the suite with a service of its own.
type Resources interface {
	// Open opens the backend under test. BatchSize is the greatest number of ids in one request.
	Open(t *testing.T, l Limits) backend.Backend
	// Put makes records.
	Put(t *testing.T, resource string, ids ...string)
	// IDs lists the records of a type in order.
	IDs(t *testing.T, resource string) []string
	// Inactive lists those that are out of use in order; nil and false where the service does not deactivate.
	Inactive(t *testing.T, resource string) (ids []string, ok bool)
	// Fail makes the service fail until the returned function is called; nil where it cannot be made to.
	Fail(t *testing.T, f ResourceFailure) (mend func())
}

// ResourceFailure is a way in which a service fails. Its records outlive it.
type ResourceFailure string

// The failures.
const (
	// ServiceStopped means that nobody listens.
	ServiceStopped ResourceFailure = "stopped"
	// ServiceSilent takes requests and answers nothing.
	ServiceSilent ResourceFailure = "silent"
	// ServiceForbids takes Lethe for somebody who may do nothing.
	ServiceForbids ResourceFailure = "forbids"
	// ServiceCutsOff does what it is asked, and the connection is lost before it has answered.
	ServiceCutsOff ResourceFailure = "cuts off"
)

// RunResources runs the suite for services. fresh makes an empty one. All ids hold the word canary, which no error may name.
func RunResources(t *testing.T, fresh func(t *testing.T) Resources) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, r *resources)
	}{
		{"finds records that exist", testFindResources},
		{"tells ids apart", testNastyResources},
		{"erases what is planned and nothing else", testEraseResources},
		{"waits before it asks to erase", testBeforeErase},
		{"erases more than one request takes", testManyResources},
		{"ends a batch of requests that was begun", testHalfErased},
		{"stops at too many records of a service", testTooManyResources},
		{"refuses what services have not", testWrongResources},
		{"a cancelled call is unavailable, and nothing is erased", testCancelResources},
		{"a stopped service is unavailable, and found again", testStoppedService},
		{"a service that says nothing is unavailable", testSilentService},
		{"missing rights are refused, and nothing is erased", testForbiddenService},
		{"what was erased although the answer was lost is erased once", testLostAnswer},
		{"calls run concurrently on a service", testConcurrentResources},
		{"takes records out of use and puts them back", testDeactivate},
		{"a service describes itself", testDescribeResources},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &resources{Resources: fresh(t)}
			r.Put(t, "contact", "canary-1", "canary-2", "canary-10", "canary-11")
			r.Put(t, "invoice", "canary-1", "canary-2")
			r.b = r.Open(t, Limits{BatchSize: 7})
			c.test(t, r)
		})
	}
}

type resources struct {
	Resources
	b backend.Backend
}

func resource(kind, id string) backend.Path {
	return backend.Path{Path: id, Kind: backend.Resource, Member: kind}
}

func resourcePaths(ps ...backend.Path) backend.ResolveRequest {
	return backend.ResolveRequest{Queries: []backend.Query{{Entity: "records", Paths: ps}}}
}

// contacts are the rows of contacts.
func contacts(ids ...string) []string {
	var rows []string
	for _, id := range ids {
		out, err := json.Marshal([]string{"contact", id})
		if err != nil {
			panic(err)
		}
		rows = append(rows, string(out))
	}
	slices.Sort(rows)
	return rows
}

// plannedResources is the erasure of rows, as it comes back from a plan.
func plannedResources(t *testing.T, rows ...string) []backend.Operation {
	t.Helper()
	ops := plannedKeys(t, rows...)
	ops[0].Entity = "records"
	return ops
}

// eraseResources executes a batch of its own.
func (r *resources) eraseResources(t *testing.T, batch string, ops []backend.Operation) []int64 {
	t.Helper()
	res, err := r.b.Execute(ctx, backend.Batch{ID: batch, Operations: ops})
	if err != nil {
		t.Fatalf("Execute: %v", err)
	}
	return res.Affected
}

func testFindResources(t *testing.T, r *resources) {
	res := resolve(t, r.b, resourcePaths(resource("contact", "canary-2"), resource("contact", "canary-1"), resource("contact", "canary-3"),
		resource("invoice", "canary-2"), resource("contact", "canary-1"), resource("invoice", "canary-10")))
	WantEqual(t, "rows", found(r.b, res, "records"), []string{`["contact","canary-1"]`, `["contact","canary-2"]`, `["invoice","canary-2"]`})
	for i, leads := range [][]int{{1, 4}, {0}, {3}} {
		WantEqual(t, "paths", res.Rows["records"][i].Paths, leads)
	}
	res = resolve(t, r.b, backend.ResolveRequest{Queries: []backend.Query{
		{Entity: "a", Paths: []backend.Path{resource("contact", "canary-1")}, Columns: []string{"x"}}, {Entity: "b"}}})
	WantEqual(t, "values", len(res.Rows["a"][0].Values), 1)
	WantEqual(t, "no paths", len(res.Rows["b"]), 0)
}

func testNastyResources(t *testing.T, r *resources) {
	var left []string
	for _, id := range nastyIDs {
		if strings.ToValidUTF8(id, "") != id {
			_, err := r.b.Resolve(ctx, resourcePaths(resource("contact", id)))
			wantError[*backend.RefusedError](t, err, "entity records", "UTF-8")
			continue
		}
		left = append(left, "canary:"+id)
	}
	before := r.IDs(t, "contact")
	r.Put(t, "contact", left...)
	for i, id := range left {
		rows := found(r.b, resolve(t, r.b, resourcePaths(resource("contact", id))), "records")
		if want := contacts(id); !slices.Equal(rows, want) {
			t.Fatalf("%.20q: found %.100q, want %.100q", id, rows, want)
		}
		ops := plannedResources(t, rows...)
		WantEqual(t, "affected", r.eraseResources(t, fmt.Sprint("nasty", i), ops), []int64{1})
		wantLeft(t, r.b, ops, 0)
		if n := len(r.IDs(t, "contact")); n != len(before)+len(left)-1-i {
			t.Fatalf("%.20q: %d records are left", id, n)
		}
	}
	WantEqual(t, "others", r.IDs(t, "contact"), before)
}

func testEraseResources(t *testing.T, r *resources) {
	ops := plannedResources(t, append(contacts("canary-1", "canary-10", "canary-none"), `["invoice","canary-2"]`)...)
	wantLeft(t, r.b, ops, 3)
	WantEqual(t, "affected", r.eraseResources(t, "one", ops), []int64{3})
	wantLeft(t, r.b, ops, 0)
	WantEqual(t, "contacts", r.IDs(t, "contact"), []string{"canary-11", "canary-2"})
	WantEqual(t, "invoices", r.IDs(t, "invoice"), []string{"canary-1"})
	WantEqual(t, "again", r.eraseResources(t, "one", ops), []int64{0})
	WantEqual(t, "in another batch", r.eraseResources(t, "two", ops), []int64{0})
	r.Put(t, "contact", "canary-1")
	wantLeft(t, r.b, ops, 1)
	WantEqual(t, "what came back", r.eraseResources(t, "three", ops), []int64{1})
	two := append(plannedResources(t, contacts("canary-2")...), plannedResources(t, contacts("canary-11")...)...)
	wantLeft(t, r.b, two, 1, 1)
	WantEqual(t, "two operations", r.eraseResources(t, "four", two), []int64{1, 1})
	WantEqual(t, "no operation", r.eraseResources(t, "five", nil), []int64{})
	if _, ok := r.b.(backend.Transactional); ok {
		t.Error("a service is not transactional")
	}
}

func testBeforeErase(t *testing.T, r *resources) {
	before := r.IDs(t, "contact")
	ops := plannedResources(t, contacts("canary-1")...)
	_, err := r.b.Execute(ctx, backend.Batch{ID: "b", Operations: ops, BeforeEffect: func(context.Context) error { return errNotYet }})
	if !errors.Is(err, errNotYet) {
		t.Errorf("erased although it was refused: %v", err)
	}
	WantEqual(t, "contacts", r.IDs(t, "contact"), before)
	calls := 0
	_, err = r.b.Execute(ctx, backend.Batch{ID: "b", Operations: ops, BeforeEffect: func(context.Context) error {
		WantEqual(t, "contacts", r.IDs(t, "contact"), before)
		calls++
		return nil
	}})
	if err != nil || calls != 1 {
		t.Errorf("permitted: %v, called %d times", err, calls)
	}
	wantLeft(t, r.b, ops, 0)
}

func testManyResources(t *testing.T, r *resources) {
	before := r.IDs(t, "contact")
	var ids []string
	var ps []backend.Path
	for i := range 100 {
		ids = append(ids, fmt.Sprint("canary-many-", i))
		ps = append(ps, resource("contact", ids[i]), resource("contact", "canary-none-"+ids[i]))
	}
	r.Put(t, "contact", ids...)
	rows := found(r.b, resolve(t, r.b, resourcePaths(ps...)), "records")
	WantEqual(t, "rows", rows, contacts(ids...))
	ops := plannedResources(t, append(rows, rows[0])...)
	wantLeft(t, r.b, ops, 100)
	WantEqual(t, "affected", r.eraseResources(t, "many", ops), []int64{100})
	wantLeft(t, r.b, ops, 0)
	WantEqual(t, "others", r.IDs(t, "contact"), before)
}

func testHalfErased(t *testing.T, r *resources) {
	rows := contacts("canary-1", "canary-2", "canary-10")
	WantEqual(t, "half", r.eraseResources(t, "first", plannedResources(t, rows[:1]...)), []int64{1})
	ops := plannedResources(t, rows...)
	wantLeft(t, r.b, ops, 2)
	WantEqual(t, "the rest", r.eraseResources(t, "second", ops), []int64{2})
	wantLeft(t, r.b, ops, 0)
}

func testTooManyResources(t *testing.T, r *resources) {
	req := resourcePaths(resource("contact", "canary-1"), resource("contact", "canary-2"), resource("contact", "canary-none"), resource("contact", "canary-1"))
	req.Queries = append(req.Queries, backend.Query{Entity: "other", Paths: []backend.Path{resource("invoice", "canary-1")}})
	req.MaxRows = 3
	resolve(t, r.b, req)
	req.MaxRows = 2
	_, err := r.b.Resolve(ctx, req)
	wantError[*backend.TooManyRowsError](t, err)
}

func testWrongResources(t *testing.T, r *resources) {
	before := r.IDs(t, "contact")
	for _, p := range []backend.Path{resource("contact", ""), resource("", "canary-1"), resource("canary\xff", "canary-1"), {Path: "canary-1"},
		{Path: "canary-1", Kind: backend.File, Member: "contact"}, {Path: "canary-1", Kind: backend.KeyPattern, Member: "contact"}} {
		_, err := r.b.Resolve(ctx, resourcePaths(resource("contact", "canary-1"), p))
		wantError[*backend.RefusedError](t, err, "entity records")
	}
	_, err := r.b.Resolve(ctx, subject("1"))
	wantError[*backend.RefusedError](t, err, "person")
	_, err = r.b.Resolve(ctx, resourcePaths(resource("canary-unknown-type", "canary-1")))
	wantError[*backend.RefusedError](t, err, "entity records")
	good := contacts("canary-1")[0]
	ops := []backend.Operation{
		{Entity: "records", Action: backend.Delete, Keys: []backend.Key{{good}}},
		{Entity: "records", Action: backend.Update, Keys: []backend.Key{{good}}},
		{Entity: "records", Action: backend.Unlink, Keys: []backend.Key{{good, good}}},
	}
	for _, bad := range []string{"", "canary-1", `["contact"]`, `["contact",""]`, `["","canary-1"]`, `["contact", "canary-1"]`, `["contact","canary-1","x"]`,
		`["contact","canary-1"] `, `["contact",null]`, `["contact",1]`, `{"contact":"canary-1"}`, `["contact","canary\u002d1"]`} {
		ops = append(ops, backend.Operation{Entity: "records", Action: backend.Unlink, Keys: []backend.Key{{bad}}})
	}
	for _, op := range ops {
		// The good operation before the bad one is not begun.
		_, err := r.b.Execute(ctx, backend.Batch{ID: "b", Operations: append(plannedResources(t, good), op)})
		wantError[*backend.RefusedError](t, err, "entity records")
		_, err = r.b.Verify(ctx, append(plannedResources(t, good), op))
		wantError[*backend.RefusedError](t, err, "entity records")
	}
	// Without an id, a later batch would pass for a repetition of this one.
	_, err = r.b.Execute(ctx, backend.Batch{Operations: plannedResources(t, good)})
	wantError[*backend.RefusedError](t, err)
	WantEqual(t, "contacts", r.IDs(t, "contact"), before)
}

func testCancelResources(t *testing.T, r *resources) {
	before := r.IDs(t, "contact")
	c, cancel := context.WithCancel(ctx)
	cancel()
	ops := plannedResources(t, contacts("canary-1")...)
	_, err := r.b.Resolve(c, resourcePaths(resource("contact", "canary-1")))
	wantError[*backend.UnavailableError](t, err)
	_, err = r.b.Execute(c, backend.Batch{ID: "b", Operations: ops})
	wantError[*backend.UnavailableError](t, err)
	_, err = r.b.Verify(c, ops)
	wantError[*backend.UnavailableError](t, err)
	_, err = r.b.Describe(c)
	wantError[*backend.UnavailableError](t, err)
	// Cancelled between the permission and the effect.
	c, cancel = context.WithCancel(ctx)
	_, err = r.b.Execute(c, backend.Batch{ID: "b", Operations: ops, BeforeEffect: func(context.Context) error { cancel(); return nil }})
	wantError[*backend.UnavailableError](t, err)
	WantEqual(t, "contacts", r.IDs(t, "contact"), before)
}

// fail makes the service fail, or ends the test where it cannot be made to.
func (r *resources) fail(t *testing.T, f ResourceFailure) (mend func()) {
	t.Helper()
	if mend = r.Fail(t, f); mend == nil {
		t.Skipf("the service cannot be made to fail: %s", f)
	}
	return mend
}

// failAll makes every call, and wants each to fail so.
func failAll[E error](t *testing.T, b backend.Backend, words ...string) {
	t.Helper()
	ops := plannedResources(t, contacts("canary-1")...)
	_, err := b.Resolve(ctx, resourcePaths(resource("contact", "canary-1")))
	wantError[E](t, err, words...)
	_, err = b.Execute(ctx, backend.Batch{ID: "fails", Operations: ops})
	wantError[E](t, err, words...)
	_, err = b.Verify(ctx, ops)
	wantError[E](t, err, words...)
	_, err = b.Describe(ctx)
	wantError[E](t, err, words...)
}

func testStoppedService(t *testing.T, r *resources) {
	before := r.IDs(t, "contact")
	ops := plannedResources(t, contacts("canary-1", "canary-10")...)
	start := r.fail(t, ServiceStopped)
	failAll[*backend.UnavailableError](t, r.b)
	start()
	// It goes between the permission and the effect.
	_, err := r.b.Execute(ctx, backend.Batch{ID: "b", Operations: ops, BeforeEffect: func(context.Context) error { start = r.fail(t, ServiceStopped); return nil }})
	wantError[*backend.UnavailableError](t, err)
	start()
	WantEqual(t, "contacts", r.IDs(t, "contact"), before)
	wantLeft(t, r.b, ops, 2)
	WantEqual(t, "affected", r.eraseResources(t, "b", ops), []int64{2})
	wantLeft(t, r.b, ops, 0)
}

func testSilentService(t *testing.T, r *resources) {
	b := r.Open(t, Limits{StatementTimeout: 200 * time.Millisecond})
	before := r.IDs(t, "contact")
	speak := r.fail(t, ServiceSilent)
	failAll[*backend.UnavailableError](t, b)
	// A caller who goes does not wait for the timeout.
	c, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, err := r.Open(t, Limits{StatementTimeout: time.Hour}).Verify(c, plannedResources(t, contacts("canary-1")...))
	wantError[*backend.UnavailableError](t, err)
	speak()
	WantEqual(t, "contacts", r.IDs(t, "contact"), before)
	WantEqual(t, "affected", r.eraseResources(t, "fails", plannedResources(t, contacts("canary-1")...)), []int64{1})
}

func testForbiddenService(t *testing.T, r *resources) {
	before := r.IDs(t, "contact")
	allow := r.fail(t, ServiceForbids)
	failAll[*backend.RefusedError](t, r.b, "credentials")
	WantEqual(t, "contacts", r.IDs(t, "contact"), before)
	allow()
	WantEqual(t, "affected", r.eraseResources(t, "b", plannedResources(t, contacts("canary-1")...)), []int64{1})
}

func testLostAnswer(t *testing.T, r *resources) {
	ops := plannedResources(t, contacts("canary-1", "canary-10")...)
	mend := r.fail(t, ServiceCutsOff)
	_, err := r.b.Execute(ctx, backend.Batch{ID: "b", Operations: ops})
	wantError[*backend.UnavailableError](t, err)
	_, err = r.b.Verify(ctx, ops)
	wantError[*backend.UnavailableError](t, err)
	mend()
	r.eraseResources(t, "b", ops) // how many it counts hangs on what it did before
	wantLeft(t, r.b, ops, 0)
	WantEqual(t, "contacts", r.IDs(t, "contact"), []string{"canary-11", "canary-2"})
	WantEqual(t, "in another batch", r.eraseResources(t, "c", ops), []int64{0})
}

func testConcurrentResources(t *testing.T, r *resources) {
	before := r.IDs(t, "contact")
	var wg sync.WaitGroup
	for i := range 16 {
		ids := []string{fmt.Sprintf("canary-%d-a", i), fmt.Sprintf("canary-%d-b", i)}
		r.Put(t, "contact", ids...)
		wg.Go(func() {
			res, err := r.b.Resolve(ctx, resourcePaths(resource("contact", ids[0]), resource("contact", ids[1])))
			if err != nil {
				t.Errorf("Resolve: %v", err)
				return
			}
			ops := plannedResources(t, found(r.b, res, "records")...)
			done, err := r.b.Execute(ctx, backend.Batch{ID: fmt.Sprint("batch", i), Operations: ops})
			if err != nil || done.Affected[0] != 2 {
				t.Errorf("Execute: %v, %v", done, err)
			}
			if left, err := r.b.Verify(ctx, ops); err != nil || left[0] != 0 {
				t.Errorf("Verify: %v, %v", left, err)
			}
		})
	}
	wg.Wait()
	WantEqual(t, "contacts", r.IDs(t, "contact"), before)
}

func testDeactivate(t *testing.T, r *resources) {
	d, ok := r.b.(backend.Deactivator)
	if _, can := r.Inactive(t, "contact"); !ok || !can {
		t.Skip("the service does not deactivate")
	}
	set := func(active bool, rows ...string) {
		t.Helper()
		if err := d.SetActive(ctx, "decision", plannedResources(t, rows...), active); err != nil {
			t.Fatalf("SetActive: %v", err)
		}
	}
	want := func(ids ...string) {
		t.Helper()
		got, _ := r.Inactive(t, "contact")
		if !slices.Equal(got, ids) {
			t.Errorf("inactive: %q, want %q", got, ids)
		}
	}
	before := r.IDs(t, "contact")
	for range 2 { // twice is once, also after it was taken back
		set(false, contacts("canary-1", "canary-none")...)
		set(false, contacts("canary-1", "canary-10")...)
		want("canary-1", "canary-10")
		set(true, contacts("canary-1")...)
		want("canary-10")
		set(true, contacts("canary-1", "canary-10")...)
		want()
	}
	WantEqual(t, "contacts", r.IDs(t, "contact"), before)
	err := d.SetActive(ctx, "decision", plannedResources(t, "canary-1"), false)
	wantError[*backend.RefusedError](t, err, "entity records")
	c, cancel := context.WithCancel(ctx)
	cancel()
	err = d.SetActive(c, "decision", plannedResources(t, contacts("canary-1")...), false)
	wantError[*backend.UnavailableError](t, err)
	want()
}

func testDescribeResources(t *testing.T, r *resources) {
	d, err := r.b.Describe(ctx)
	if err != nil || d.Version == "" || len(d.Version) > 128 {
		t.Errorf("Describe: %+v, %v", d, err)
	}
}
