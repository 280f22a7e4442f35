// Package property erases one subject from random databases, laid out and mapped at random, on real engines, and compares
// every row and every file with what an independent oracle expects.
//
// A long soak: go test ./test/property -rapid.checks=5000 -timeout 0
package property

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/executor"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/journal"
	"github.com/lethe-dev/lethe/internal/keys"
	"github.com/lethe-dev/lethe/internal/ledger"
	ledgersqlite "github.com/lethe-dev/lethe/internal/ledger/sqlite"
	"github.com/lethe-dev/lethe/internal/planner"
	"github.com/lethe-dev/lethe/internal/state"
	vaultsqlite "github.com/lethe-dev/lethe/internal/vault/sqlite"
	"github.com/lethe-dev/lethe/test/mariadbtest"
	"github.com/lethe-dev/lethe/test/pgtest"
	"github.com/lethe-dev/lethe/test/redistest"
	"github.com/lethe-dev/lethe/test/s3test"
)

// shared by all cases: a server, and two operators' vaults. Each case has names of its own in them.
var shared struct {
	folder   string
	server   *pgtest.Server
	database string
	conn     *pgx.Conn
	mariadb  *mariadbtest.Server
	session  *sql.Conn // of MariaDB
	vaults   [2]vault
	cases    int

	objects   *s3test.Server
	redis     *redistest.Server
	databases int // of Redis, that were used
}

type vault struct {
	state  state.Store
	ledger ledger.Log
}

// defaultChecks keeps the package under a minute.
const defaultChecks = "120"

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		if err := flag.Set("rapid.checks", defaultChecks); err != nil {
			panic(err)
		}
	}
	code := 1
	stop, err := start(context.Background())
	if err == nil {
		code = m.Run()
	}
	if err := errors.Join(err, stop()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func start(ctx context.Context) (stop func() error, err error) {
	var undo []func() error
	stop = func() error {
		var errs []error
		for i := len(undo) - 1; i >= 0; i-- {
			errs = append(errs, undo[i]())
		}
		return errors.Join(errs...)
	}
	if shared.folder, err = os.MkdirTemp("", "lethe-property-"); err != nil {
		return stop, err
	}
	undo = append(undo, func() error { return os.RemoveAll(shared.folder) })
	if shared.server, err = pgtest.Start(ctx, pgtest.Options{}); err != nil {
		return stop, err
	}
	undo = append(undo, shared.server.Stop)
	if shared.database, err = shared.server.CreateDatabase(ctx); err != nil {
		return stop, err
	}
	config, err := pgx.ParseConfig(shared.server.URL(shared.database))
	if err != nil {
		return stop, err
	}
	config.RuntimeParams["timezone"] = "UTC"
	config.DefaultQueryExecMode = pgx.QueryExecModeExec // tables of the same name come and go
	if shared.conn, err = pgx.ConnectConfig(ctx, config); err != nil {
		return stop, err
	}
	undo = append(undo, func() error { return shared.conn.Close(ctx) })
	if err := startMariaDB(ctx, &undo); err != nil {
		return stop, err
	}
	if shared.objects, err = s3test.Start(ctx, s3test.Options{}); err != nil {
		return stop, err
	}
	undo = append(undo, shared.objects.Stop)
	if shared.redis, err = redistest.Start(ctx, redistest.Options{}); err != nil {
		return stop, err
	}
	undo = append(undo, shared.redis.Stop)
	signer, err := ledger.NewSigner("test.lethe.dev", make([]byte, 32))
	if err != nil {
		return stop, err
	}
	for i := range shared.vaults {
		v, err := vaultsqlite.Open(ctx, filepath.Join(shared.folder, fmt.Sprintf("ledger%d.db", i)), ledgersqlite.Options{LogName: "test.lethe.dev", Signer: signer})
		if err != nil {
			return stop, err
		}
		undo = append(undo, v.Close)
		shared.vaults[i] = vault{v.State, v.Ledger}
	}
	return stop, nil
}

// keyring is a keys.Store in which the same id always gets the same key, so that two runs can be compared.
type keyring struct {
	mu   sync.Mutex
	held map[keys.ID]bool
}

func (k *keyring) Ensure(_ context.Context, id keys.ID) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held[id] = true
	sum := sha256.Sum256([]byte(fmt.Sprintf("%q %q %q", id.Purpose, id.Namespace, id.Name)))
	return sum[:], nil
}

func (k *keyring) Get(ctx context.Context, id keys.ID) ([]byte, error) {
	if !k.has(id) {
		return nil, keys.ErrNotFound
	}
	return k.Ensure(ctx, id)
}

func (k *keyring) Destroy(_ context.Context, id keys.ID) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.held, id)
	return nil
}

func (k *keyring) has(id keys.ID) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.held[id]
}

// features that a case can have.
var features = []string{string(gone), string(changed), string(retained), string(pinned), string(kept), others, "cut", "cut of others", "file",
	"main on postgresql", "main on sqlite", "main on mariadb", "two stores", "interrupted", "tree", "circle", "own parent", "long chain", "shared gone", "shared stays", "shared by some", "shared pinned", "member", "redaction",
	"later", "another subject", string(oneObject), string(folder), string(prefixed), "version", "marker", "upload", string(oneKey), string(pattern),
	string(hashField), string(ownField), string(setMember), string(rankedEntry), "previewed in postgresql",
	"previewed in sqlite", "previewed in mariadb", "previewed in files", "previewed in " + objects, "previewed in " + redisKeys, "named by several", "named by what stays", "named by others"}

// unseen are the features that no case had.
func unseen(seen map[string]int) []string {
	return slices.DeleteFunc(slices.Clone(features), func(what string) bool { return seen[what] > 0 })
}

// maxChecks is how often chance may miss one of the features.
const maxChecks = 4

// The subject's rows and files are gone or changed as the map says, and everything else is byte for byte the same.
func TestErasureOfRandomDatabases(t *testing.T) {
	total, accepted, erased := 0, 0, 0
	refusals, seen := map[string]int{}, map[string]int{}
	for check := 0; check < maxChecks && !t.Failed() && len(unseen(seen)) > 0; check++ {
		rapid.Check(t, func(rt *rapid.T) {
			w := drawWorld(rt, engines)
			total++
			problem, found := runCase(rt, w, seen)
			switch {
			case problem != "":
				refusals[problem]++
			case found:
				accepted, erased = accepted+1, erased+1
			default:
				accepted++
			}
		})
	}
	t.Logf("%d worlds, %d with a map that fits, %d subjects erased; refused: %v; seen: %v", total, accepted, erased, refusals, seen)
	if accepted*2 < total || erased*3 < total {
		t.Errorf("of %d worlds only %d had a map that fits, and %d a subject to erase", total, accepted, erased)
	}
	if missed := unseen(seen); len(missed) > 0 {
		t.Errorf("no case had: %q", missed)
	}
}

// runCase erases the subject of one world. It returns the reason if the map does not fit, and whether there was a subject.
func runCase(t *rapid.T, w *world, seen map[string]int) (problem string, found bool) {
	ctx := context.Background()
	shared.cases++
	name := fmt.Sprintf("case%d", shared.cases)
	e := &erasure{t: t, w: w, name: name, seen: seen, at: now}
	source := []planner.MapSource{e.source()}
	first := e.build(ctx, name+"a")
	defer e.close(ctx, first)
	if problem := e.fits(ctx, source, first); problem != "" {
		return problem, false
	}
	before := e.snapshot(ctx, first)
	want := w.expect(before, e.at)
	if want.blocked {
		e.refuse(ctx, first, want, before)
		return "", false
	}
	preview := e.preview(ctx, first, want.found, before)
	run := e.erase(ctx, first, shared.vaults[0], want.found)
	after := e.snapshot(ctx, first)
	if want.found {
		e.asPreviewed(preview, run)
	}
	if wrong := w.check(want, before, after); len(wrong) > 0 {
		t.Fatalf("engines %v, map %s:\n%s", w.engines, e.describe(), strings.Join(wrong, "\n"))
	}
	if !want.found {
		return "", false
	}
	w.tally(want, before, seen)
	e.repeat(ctx, run, after)
	after = e.later(ctx, first, want, before, after)
	e.others(ctx, first, after)
	return "", true
}

// repeat erases the subject from another copy of the world, with one interruption now and then: it ends the same.
func (e *erasure) repeat(ctx context.Context, run *state.Run, after snapshot) {
	p := e.build(ctx, e.name+"b")
	defer e.close(ctx, p)
	v := shared.vaults[1]
	i := &interruption{in: rapid.IntRange(-1, 8).Draw(e.t, "interrupted at"), after: rapid.Bool().Draw(e.t, "after the effect")}
	undisturbed := i.in < 0
	p.interrupt(i)
	v.state = shakyVault{v.state, i}
	other := e.erase(ctx, p, v, true)
	// Versions of objects have ids that no other bucket has.
	if undisturbed && !e.w.beside[objects] && run.PlanDigest != other.PlanDigest || run.PlanDigest == "" {
		e.t.Fatalf("the same key gave two plans: %s and %s", run.PlanDigest, other.PlanDigest)
	}
	if !same(e.snapshot(ctx, p), after) {
		e.t.Fatalf("the same erasure in another database ended differently")
	}
	if run, other := e.kinds(ctx, shared.vaults[0].ledger), e.kinds(ctx, v.ledger); undisturbed && run != other || !strings.HasSuffix(other, ledger.KindErasureCompleted) {
		e.t.Fatalf("the ledger has\n%s\nand after an interruption\n%s", run, other)
	}
}

// kinds of the entries that a case has left in the ledger.
func (e *erasure) kinds(ctx context.Context, log ledger.Log) string {
	list, err := log.Entries(ctx, e.name, 0, ledger.MaxPage)
	if err != nil {
		e.t.Fatalf("read the ledger: %v", err)
	}
	kinds := make([]string, len(list))
	for i, r := range list {
		kinds[i] = r.Entry.Kind
	}
	return strings.Join(kinds, " ")
}

func same(a, b snapshot) bool {
	return maps.Equal(a.files, b.files) && maps.Equal(a.things, b.things) && maps.EqualFunc(a.rows, b.rows, maps.Equal[map[string]string, map[string]string])
}

// erasure is one case under way; whatever goes wrong ends the test.
type erasure struct {
	t    *rapid.T
	w    *world
	name string
	seen map[string]int
	// at is the time of the executor's clock.
	at time.Time
	// round is the number of the subjects before.
	round int
}

func (e *erasure) source() planner.MapSource {
	m := planner.MapSource{Name: "m", UID: "map", Generation: 1}
	for _, tb := range e.w.tables {
		m.Spec.Entities = append(m.Spec.Entities, tb.entity)
	}
	return m
}

func (e *erasure) build(ctx context.Context, name string) *place {
	p, err := e.w.build(ctx, name)
	if err != nil {
		e.t.Fatalf("make the stores: %v", err)
	}
	return p
}

func (e *erasure) close(ctx context.Context, p *place) {
	if err := p.close(ctx); err != nil {
		e.t.Errorf("remove the stores: %v", err)
	}
}

func (e *erasure) snapshot(ctx context.Context, p *place) snapshot {
	s, err := p.snapshot(ctx)
	if err != nil {
		e.t.Fatalf("read the stores: %v", err)
	}
	return s
}

// fits holds the map against the live schemas and returns the reason of the first problem.
func (e *erasure) fits(ctx context.Context, source []planner.MapSource, p *place) string {
	graph, problems := planner.Compile(source, "")
	if len(problems) > 0 {
		return problems[0].Reason + " (static)"
	}
	facts := map[string]planner.StoreFacts{}
	for _, name := range graph.Stores() {
		s := p.open[name]
		f := planner.StoreFacts{Kind: s.Kind, DefaultSchema: s.DefaultSchema}
		if i, ok := s.Backend.(backend.Inspector); ok {
			schema, err := i.Inspect(ctx, graph.Tables(name))
			if err != nil {
				e.t.Fatalf("inspect: %v", err)
			}
			f.Schema = schema
		}
		facts[name] = f
	}
	if problems := graph.Check(facts); len(problems) > 0 {
		return problems[0].Reason
	}
	return ""
}

// executor makes one with the task to erase the subject.
func (e *erasure) executor(p *place, v vault) (*executor.Executor, executor.Task, *keyring) {
	at := clocktesting.NewFakePassiveClock(e.at)
	x := &executor.Executor{Stores: p, State: v.state, Keys: p.ring, Clock: at, Journal: &journal.Journal{Ledger: v.ledger, State: v.state, Clock: at}}
	task := executor.Task{RunUID: fmt.Sprintf("run%d-%s", e.round, e.name), Namespace: e.name, Name: fmt.Sprint("erase", e.round), Handle: fmt.Sprint("handle", e.round),
		SubjectPseudonym: fmt.Sprint("pseudonym", e.round),
		Request: &executor.RequestTask{UID: e.request(), Name: fmt.Sprint("request", e.round), Maps: []planner.MapSource{e.source()},
			Identities: func(context.Context) (map[string][]string, error) { return e.w.subject, nil }}}
	return x, task, p.ring
}

func (e *erasure) request() string { return fmt.Sprintf("request%d-%s", e.round, e.name) }

// erase carries the run to its end, and once more.
func (e *erasure) erase(ctx context.Context, p *place, v vault, found bool) *state.Run {
	x, task, ring := e.executor(p, v)
	run, err := x.Advance(ctx, task)
	if err != nil && isInterrupted(err) {
		// A write that failed after its effect leaves an old record in hand; the next attempt reads the new one.
		if _, err := x.RecordFailure(ctx, run, err); err != nil && !errors.Is(err, state.ErrConflict) {
			e.t.Fatalf("record the failure: %v", err)
		}
		e.seen["interrupted"]++
		run, err = x.Advance(ctx, task)
	}
	if !found {
		var waiting *fault.Waiting
		if !errors.As(err, &waiting) || waiting.Reason != v1alpha1.ReasonSubjectNotFound {
			e.t.Fatalf("nobody has these identities, and the erasure says: %v", err)
		}
		return run
	}
	if err != nil {
		e.t.Fatalf("engines %v, map %s: %v", e.w.engines, e.describe(), err)
	}
	if run.Phase != string(v1alpha1.PhaseCompleted) || len(run.Sealed) > 0 || ring.has(keys.ID{Purpose: keys.Run, Namespace: e.name, Name: task.RunUID}) {
		e.t.Fatalf("the run ended as %s; sealed material left: %t", run.Phase, len(run.Sealed) > 0)
	}
	e.again(ctx, x, task, p, v)
	return run
}

// preview asks what an erasure would do, which changes nothing.
func (e *erasure) preview(ctx context.Context, p *place, found bool, before snapshot) *executor.Preview {
	x, task, _ := e.executor(p, shared.vaults[0])
	kinds := e.kinds(ctx, shared.vaults[0].ledger)
	preview, err := x.Preview(ctx, task, false)
	var waiting *fault.Waiting
	if found && err != nil || !found && (!errors.As(err, &waiting) || waiting.Reason != v1alpha1.ReasonSubjectNotFound) {
		e.t.Fatalf("engines %v, map %s: found %t, the preview says: %v", e.w.engines, e.describe(), found, err)
	}
	if !same(before, e.snapshot(ctx, p)) || kinds != e.kinds(ctx, shared.vaults[0].ledger) {
		e.t.Fatalf("a preview changed something")
	}
	return preview
}

// asPreviewed: an erasure counts what the preview before it did, in each step and in all.
func (e *erasure) asPreviewed(preview *executor.Preview, run *state.Run) {
	var outcome executor.Outcome
	if err := json.Unmarshal(run.Outcome, &outcome); err != nil {
		e.t.Fatalf("the run's outcome: %v", err)
	}
	planned, done := map[string]int64{}, map[string]int64{}
	for _, s := range preview.Steps {
		planned[s.Name] = s.Planned
	}
	for _, s := range run.Steps {
		done[s.Name] = s.Planned
		_, store, _ := strings.Cut(s.Name, "/")
		e.seen["previewed in "+cmp.Or(e.w.engines[store], store)]++
	}
	if diff := gocmp.Diff(preview.Outcome, outcome) + gocmp.Diff(planned, done); diff != "" {
		e.t.Fatalf("engines %v, map %s: the preview (-) and the run (+) differ:\n%s", e.w.engines, e.describe(), diff)
	}
}

// refuse makes sure that a run does not end that cannot without harm to what the map leaves out, that it says why, and that
// it does no harm.
func (e *erasure) refuse(ctx context.Context, p *place, want *expectation, before snapshot) {
	x, task, _ := e.executor(p, shared.vaults[0])
	run, err := x.Advance(ctx, task)
	var terminal *fault.Terminal
	if !errors.As(err, &terminal) || terminal.Reason != v1alpha1.ReasonVerificationFailed || !strings.Contains(err.Error(), " refer to ") ||
		executor.Finished(run) {
		e.t.Fatalf("engines %v, map %s: a row that the map leaves out is in the way, and the erasure says: %v", e.w.engines, e.describe(), err)
	}
	if wrong := e.w.untouched(want, before, e.snapshot(ctx, p)); len(wrong) > 0 {
		e.t.Fatalf("engines %v, map %s:\n%s", e.w.engines, e.describe(), strings.Join(wrong, "\n"))
	}
	e.seen["blocked"]++
}

// again repeats a finished run, which changes nothing anywhere.
func (e *erasure) again(ctx context.Context, x *executor.Executor, task executor.Task, p *place, v vault) {
	before, kinds := e.snapshot(ctx, p), e.kinds(ctx, v.ledger)
	if _, err := x.Advance(ctx, task); err != nil {
		e.t.Fatalf("a finished run says: %v", err)
	}
	if !same(before, e.snapshot(ctx, p)) || kinds != e.kinds(ctx, v.ledger) {
		e.t.Fatalf("repeating a finished run changed something")
	}
}

// describe is the layout without its data.
func (e *erasure) describe() string {
	var b strings.Builder
	for i, tb := range e.w.tables {
		fmt.Fprintf(&b, "\n  e%d %q in %s: %s, key %v, %d rows, holds %d, pinned %t, order %s", i, tb.name, tb.store, tb.entity.Action, tb.key, len(tb.rows),
			len(tb.entity.Holds), tb.entity.Pinned != nil, tb.entity.Order)
		for _, f := range tb.refs {
			fmt.Fprintf(&b, "\n    %v (%s) -> e%d %v deep %t counted %t fk %q when %s %s", f.columns, tb.column(f.columns[len(f.columns)-1]).kind, f.to, f.parents, f.deep, f.counted, f.onDelete, f.whenColumn, f.whenHas)
		}
		for _, n := range tb.namings {
			fmt.Fprintf(&b, "\n    names %s by %v: %s %s", n.kind, n.columns, n.start, n.tail)
		}
		for _, f := range tb.entity.Fields {
			fmt.Fprintf(&b, "\n    %s%s: %s", f.Column, strings.TrimPrefix(f.Path, "$"), f.Strategy)
		}
	}
	return b.String()
}
