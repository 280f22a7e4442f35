// Package realworld erases candidates from an applicant-tracking system of about sixty tables, on every database that it can
// run on, with a generated map that was edited by hand, and compares all that is left with an oracle of its own.
package realworld

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/test/harness"
)

var cluster *harness.Cluster

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if cluster, err = harness.StartCluster(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := cluster.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// bench is one engine with the system in it and an operator that looks after it.
type bench struct {
	*testing.T
	engine
	db     *database
	ns     string
	folder string
	clock  *harness.Clock
	values map[string]string // made by the operator, by tag
}

// now is when the erasures happen.
var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestApplicantTrackingSystem(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			b := set(t, e)
			b.mapIsReady()
			before := e.dump(t, b.db, b.folder)
			annelise := subject{publicID: "cand-1", emails: []string{"ann@x.org", "ANN_BK@mail.example"}, phones: []string{"+49 170 1000001", "+49 170 1000018", "+49 170 1000117"}}
			joann := subject{publicID: "cand-10", emails: []string{"joann@x.org", "jo@canary.example"}, phones: []string{"+49 170 10000010"}}

			first := b.erase("annelise", annelise, before, v1alpha1.ReasonRetained)
			between := e.dump(t, b.db, b.folder)
			b.same(first.snapshot, between)
			b.nowhere(between, annelise, before)
			if _, ok := between.tables["document"]["1"]; !ok {
				t.Error("the document that both share went with the first")
			}

			second := b.erase("joann", joann, between, v1alpha1.ReasonErased)
			after := e.dump(t, b.db, b.folder)
			b.same(second.snapshot, after)
			b.nowhere(after, joann, before)
			if _, ok := after.tables["document"]["1"]; ok || after.files["shared/d1/1.pdf"] != "" {
				t.Error("the document that both share stayed after the last of them")
			}

			b.clock.Set(time.Date(2030, 5, 2, 12, 0, 0, 0, time.UTC))
			released := release(after, first.pinned)
			b.eventually("what the law kept goes when its time has come", func() string {
				left := e.dump(t, b.db, b.folder)
				return b.difference(released, left)
			})
		})
	}
}

// set up everything.
func set(t *testing.T, e engine) *bench {
	t.Helper()
	ctx := context.Background()
	b := &bench{T: t, engine: e, clock: harness.NewClock(now), values: map[string]string{}}
	b.db = e.start(t)
	e.createTables(t, b.db)
	w := makeWorld()
	e.insert(t, b.db, w)
	root := t.TempDir()
	b.folder = filepath.Join(root, "files")
	for name, content := range w.files {
		path := filepath.Join(b.folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if b.ns, err = cluster.NewNamespace(ctx, "recruiting"); err != nil {
		t.Fatal(err)
	}
	operator, err := cluster.NewNamespace(ctx, "operator")
	if err != nil {
		t.Fatal(err)
	}
	config, err := cluster.OperatorConfig(ctx, operator)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Clean(ctx, b.ns); err != nil {
			t.Error(err)
		}
	})
	harness.StartOperator(t, config, harness.OperatorOptions{Folder: t.TempDir(), LocalRoots: map[string]string{b.ns: root}, Clock: b.clock,
		Witness: harness.Witness{Clock: b.clock}, Namespace: operator})
	b.create(b.objects()...)
	return b
}

// objects that people would keep in Git, and the credentials.
func (b *bench) objects() []client.Object {
	b.Helper()
	pdmap := mapOfTests(b.T)
	pdmap.Namespace = b.ns
	named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name, Namespace: b.ns} }
	return []client.Object{
		&corev1.Secret{ObjectMeta: named("ats-credentials"), StringData: map[string]string{"username": "lethe", "password": password}},
		&v1alpha1.DataStore{ObjectMeta: named("ats"), Spec: b.db.store},
		&v1alpha1.DataStore{ObjectMeta: named("files"), Spec: v1alpha1.DataStoreSpec{Filesystem: &v1alpha1.FilesystemStore{Path: "files"}}},
		&v1alpha1.RetentionPolicy{ObjectMeta: named("policy"), Spec: v1alpha1.RetentionPolicySpec{Requests: &v1alpha1.RequestPolicy{
			GracePeriod: "P30D", ArchiveRetention: "P180D", Approval: v1alpha1.ApprovalPolicy{Required: true}}}},
		pdmap,
	}
}

func (b *bench) create(objects ...client.Object) {
	b.Helper()
	for _, o := range objects {
		if err := cluster.Client.Create(context.Background(), o); err != nil {
			b.Fatal(err)
		}
	}
}

func (b *bench) get(obj client.Object, name string) {
	b.Helper()
	if err := cluster.Client.Get(context.Background(), client.ObjectKey{Namespace: b.ns, Name: name}, obj); err != nil {
		b.Fatal(err)
	}
}

// eventually waits until there is nothing left to say.
func (b *bench) eventually(what string, problem func() string) {
	b.Helper()
	said := "nothing"
	for end := time.Now().Add(45 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if said = problem(); said == "" {
			return
		}
	}
	b.Fatalf("%s: %s", what, said)
}

// reason waits for a reason of Ready.
func (b *bench) reason(obj interface {
	client.Object
	GetConditions() *[]metav1.Condition
}, name, want string,
) {
	b.Helper()
	b.eventually(name+" is "+want, func() string {
		b.get(obj, name)
		c := meta.FindStatusCondition(*obj.GetConditions(), v1alpha1.ConditionReady)
		switch {
		case c == nil:
			return "no condition yet"
		case c.Reason == want:
			return ""
		}
		return c.Reason + ": " + c.Message
	})
}

func (b *bench) mapIsReady() {
	b.Helper()
	pdmap := &v1alpha1.PersonalDataMap{}
	defer func() {
		for _, p := range pdmap.Status.Problems {
			b.Logf("%s %s %s: %s", p.Reason, p.Entity, p.Column, p.Message)
		}
	}()
	b.reason(pdmap, "ats", v1alpha1.ReasonReady)
	c := pdmap.Status.Coverage
	if c == nil || c.Unknown != 0 || c.Columns.Unknown != 0 || c.LikelyCount != 0 || int(c.Mapped+c.Ignored) != strings.Count(b.schema(), "CREATE TABLE") {
		b.Errorf("the map does not cover the system: %+v", c)
	}
}

func (b *bench) schema() string {
	text, err := os.ReadFile(filepath.Join("testdata", "schema.sql"))
	if err != nil {
		b.Fatal(err)
	}
	return string(text)
}

// erase a subject: a request, a dry run, an approval. The counts must be the oracle's.
func (b *bench) erase(name string, s subject, before *snapshot, reason string) *erasure {
	b.Helper()
	expected := expect(before, s)
	b.create(
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: b.ns, Annotations: map[string]string{v1alpha1.AnnotationRequest: name}},
			Type: v1alpha1.IdentitiesSecretType, StringData: map[string]string{"email": strings.Join(s.emails, "\n"), "phone": strings.Join(s.phones, "\n")}},
		&v1alpha1.ErasureRequest{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: b.ns}, Spec: v1alpha1.ErasureRequestSpec{
			Source: v1alpha1.SourceSubject, Timing: v1alpha1.TimingImmediate,
			Subject: v1alpha1.Subject{ID: s.publicID, IdentitiesSecretRef: &v1alpha1.LocalReference{Name: name}}}})
	er, run := &v1alpha1.ErasureRequest{}, &v1alpha1.DeletionRun{}
	b.reason(er, name, v1alpha1.ReasonAwaitingApproval)
	b.create(&v1alpha1.DeletionRun{ObjectMeta: metav1.ObjectMeta{Name: "dry-" + name, Namespace: b.ns},
		Spec: v1alpha1.DeletionRunSpec{Request: &v1alpha1.RequestReference{Name: name}, DryRun: true}})
	b.reason(run, "dry-"+name, v1alpha1.ReasonDryRun)
	dry := run.Status.DeepCopy()
	b.same(before, b.dump(b.T, b.db, b.folder))

	approved := er.DeepCopy()
	approved.Spec.Approved = true
	if err := cluster.Client.Patch(context.Background(), approved, client.MergeFrom(er)); err != nil {
		b.Fatal(err)
	}
	b.reason(er, name, reason)
	if er.Status.Phase != v1alpha1.PhaseCompleted {
		b.Errorf("phase %s", er.Status.Phase)
	}
	b.eventually("the run says that it has ended", func() string {
		if b.get(run, er.Status.Run); run.Status.Phase.Finished() {
			return ""
		}
		return string(run.Status.Phase)
	})
	b.compare("counts of the request", sorted(expected.counts), er.Status.Counts)
	b.compare("counts of the run and of the dry run before", run.Status.Counts, dry.Counts)
	b.compare("counts of the run and of the request", run.Status.Counts, er.Status.Counts)
	b.compare("what the run and the dry run retain", run.Status.Retained, dry.Retained)
	planned := func(steps []v1alpha1.RunStep) map[string]int64 {
		list := map[string]int64{}
		for _, s := range steps {
			if s.Planned > 0 { // a dry run has no step that notifies
				list[s.Name] = s.Planned
			}
		}
		return list
	}
	b.compare("steps of the run and the dry run", planned(run.Status.Steps), planned(dry.Steps))
	return expected
}

func sorted(counts map[string]*v1alpha1.CategoryCount) []v1alpha1.CategoryCount {
	var list []v1alpha1.CategoryCount
	for _, c := range counts {
		if *c != (v1alpha1.CategoryCount{Category: c.Category}) {
			list = append(list, *c)
		}
	}
	slices.SortFunc(list, func(x, y v1alpha1.CategoryCount) int { return cmp.Compare(x.Category, y.Category) })
	return list
}

func (b *bench) compare(what string, want, got any) {
	b.Helper()
	if diff := gocmp.Diff(want, got); diff != "" {
		b.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// same compares everything, byte for byte but for what the operator alone can know.
func (b *bench) same(want, got *snapshot) {
	b.Helper()
	if d := b.difference(want, got); d != "" {
		b.Errorf("%s", d)
	}
}

func (b *bench) difference(want, got *snapshot) string {
	var list []string
	note := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	for _, table := range slices.Sorted(maps.Keys(want.tables)) {
		for _, k := range slices.Sorted(maps.Keys(want.tables[table])) {
			r, ok := got.tables[table][k]
			if !ok {
				note("%s %q is gone: %v", table, k, want.tables[table][k])
				continue
			}
			for _, column := range slices.Sorted(maps.Keys(union(want.tables[table][k], r))) {
				if w, g := want.tables[table][k], r; !b.equal(table, column, w, g) {
					note("%s %q %s is %s, want %s", table, k, column, show(g, column), show(w, column))
				}
			}
		}
		for _, k := range slices.Sorted(maps.Keys(got.tables[table])) {
			if _, ok := want.tables[table][k]; !ok {
				note("%s %q is still there: %v", table, k, got.tables[table][k])
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(union(want.files, got.files))) {
		w, wanted := want.files[name]
		g, there := got.files[name]
		if w != g || wanted != there {
			note("file %s: wanted %t, there %t", name, wanted, there)
		}
	}
	if len(list) > 40 {
		list = append(list[:40], fmt.Sprintf("... %d differences", len(list)))
	}
	return strings.Join(list, "\n")
}

func union(x, y map[string]string) map[string]string {
	all := maps.Clone(x)
	maps.Copy(all, y)
	return all
}

func show(r row, column string) string {
	v, ok := r[column]
	if !ok {
		return "NULL"
	}
	return fmt.Sprintf("%.300q", v)
}

func (b *bench) equal(table, column string, want, got row) bool {
	w, wanted := want[column]
	g, there := got[column]
	if wanted != there {
		return false
	}
	if table == "profile" && (column == "document" || column == "contact") && w != g && wanted {
		return b.equalJSON(parse(w), parse(g))
	}
	return b.equalText(w, g)
}

var shape = regexp.MustCompile(`^[a-z2-7]{26}$`)

// equalText notes what the operator made for a tag: another tag must not get the same.
func (b *bench) equalText(want, got string) bool {
	tag, ok := strings.CutPrefix(want, generated)
	if !ok {
		return want == got
	}
	if b.values[tag] == "" && shape.MatchString(got) && b.values["of "+got] == "" {
		b.values[tag], b.values["of "+got] = got, tag
	}
	return b.values[tag] == got
}

func (b *bench) equalJSON(want, got any) bool {
	switch w := want.(type) {
	case string:
		g, ok := got.(string)
		return ok && b.equalText(w, g)
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || len(w) != len(g) {
			return false
		}
		for k, v := range w {
			if other, there := g[k]; !there || !b.equalJSON(v, other) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(want, got)
}

// parse keeps numbers as they are written.
func parse(text string) any {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	return v
}

// nowhere looks for the subject in all that is left, but for another tenant and what laws keep.
func (b *bench) nowhere(left *snapshot, s subject, before *snapshot) {
	b.Helper()
	var canaries []string
	e := expect(before, s)
	for id := range e.candidates {
		r := before.tables["candidate"][id]
		canaries = append(canaries, r["last_name"], r["phone_cell"])
		canaries = append(canaries, strings.Fields(lower(r["email1"]+" "+r["email2"]))...)
	}
	for _, canary := range canaries {
		sought := regexp.MustCompile(`(^|[^\pL\pN@._%+-])` + regexp.QuoteMeta(lower(canary)) + `($|[^\pL\pN@._%+-])`)
		for table, rows := range left.tables {
			for k, r := range rows {
				if r["site_id"] == "2" || table == "placement_fee" || table == "audit_log" && r["category"] == "payroll" {
					continue
				}
				for column, v := range r {
					if sought.MatchString(lower(v)) {
						b.Errorf("%q is still in %s %q, column %s", canary, table, k, column)
					}
				}
			}
		}
		for name, content := range left.files {
			if sought.MatchString(lower(name + " " + content)) {
				b.Errorf("%q is still in the file %s", canary, name)
			}
		}
	}
}
