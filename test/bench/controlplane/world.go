package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/lethe/wiring"
	"github.com/lethe-dev/lethe/internal/operator"
	"github.com/lethe-dev/lethe/test/harness"
)

// Namespaces: of the requests that only wait, and of those that become due.
const (
	waitingNamespace = "waiting"
	dueNamespace     = "due"
)

// patience with a machine that has other work to do.
const patience = 30 * time.Minute

// world is a Kubernetes API with an operator that is started and stopped.
type world struct {
	options
	folder  string
	cluster *harness.Cluster
	// client is not counted; calls are the operator's.
	client client.WithWatch
	config *rest.Config
	calls  *harness.Calls
	stop   func() error
	// statusAtIntake is how often the status of a request is written until it waits.
	statusAtIntake float64
}

func newWorld(ctx context.Context, o options) (_ *world, err error) {
	ctrl.SetLogger(logr.Discard())
	w := &world{options: o, calls: &harness.Calls{}, stop: func() error { return nil }}
	if w.folder, err = os.MkdirTemp("", "lethe-bench-"); err != nil {
		return nil, err
	}
	if err := w.makeData(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(w.folder))
	}
	if w.cluster, err = harness.StartCluster(); err != nil { //nolint:contextcheck // the cluster outlives the call
		return nil, errors.Join(err, os.RemoveAll(w.folder))
	}
	w.config = rest.CopyConfig(w.cluster.Config)
	w.config.QPS = -1 // as the operator's is
	if w.client, err = client.NewWithWatch(w.config, client.Options{Scheme: wiring.NewScheme()}); err != nil {
		return nil, errors.Join(err, w.close())
	}
	for _, namespace := range []string{waitingNamespace, dueNamespace} {
		for _, obj := range append([]client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}}, manifests(namespace)...) {
			if err := w.client.Create(ctx, obj); err != nil {
				return nil, errors.Join(err, w.close())
			}
		}
	}
	return w, nil
}

func (w *world) close() error {
	return errors.Join(w.stop(), w.cluster.Stop(), os.RemoveAll(w.folder))
}

// makeData makes a database with one person for each request that becomes due, and one who waits.
func (w *world) makeData(ctx context.Context) (err error) {
	for _, namespace := range []string{waitingNamespace, dueNamespace} {
		root := filepath.Join(w.folder, namespace)
		if err := os.Mkdir(root, 0o700); err != nil {
			return err
		}
		db, err := sql.Open("sqlite", "file:"+filepath.Join(root, "app.db")+"?_pragma=journal_mode(wal)")
		if err != nil {
			return err
		}
		_, err = db.ExecContext(ctx, `CREATE TABLE person (id TEXT PRIMARY KEY NOT NULL, status TEXT NOT NULL);
			CREATE TABLE note (id INTEGER PRIMARY KEY, person_id TEXT NOT NULL REFERENCES person(id), body TEXT);
			CREATE INDEX note_person ON note(person_id);
			WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)
			INSERT INTO person SELECT 'person-' || i, 'active' FROM n;
			INSERT INTO note (person_id, body) SELECT id, 'a note' FROM person;
			INSERT INTO note (person_id, body) SELECT id, 'another note' FROM person;`, w.burst+w.spread)
		if err := errors.Join(err, db.Close()); err != nil {
			return err
		}
	}
	return nil
}

// left counts the people who are still in the data.
func (w *world) left(ctx context.Context) (n int, err error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.folder, dueNamespace, "app.db"))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM person) + (SELECT count(*) FROM note)`).Scan(&n)
	return n, err
}

func manifests(namespace string) []client.Object {
	gone := "gone"
	return []client.Object{
		&v1alpha1.DataStore{ObjectMeta: metav1.ObjectMeta{Name: "app", Namespace: namespace},
			Spec: v1alpha1.DataStoreSpec{SQLite: &v1alpha1.SQLiteStore{Path: "app.db"}}},
		&v1alpha1.PersonalDataMap{ObjectMeta: metav1.ObjectMeta{Name: "app", Namespace: namespace},
			Spec: v1alpha1.PersonalDataMapSpec{Entities: []v1alpha1.Entity{
				{Name: "person", Store: "app", Table: "person", Key: []string{"id"}, Category: "profile", Action: v1alpha1.ActionDelete,
					Root:         &v1alpha1.Root{Rows: v1alpha1.RowsOne},
					IdentifiedBy: []v1alpha1.IdentityMatch{{Column: "id", Identity: v1alpha1.IdentityID}},
					Deactivate:   []v1alpha1.ColumnValue{{Column: "status", Value: &gone}}},
				{Name: "note", Store: "app", Table: "note", Key: []string{"id"}, Category: "notes", Action: v1alpha1.ActionDelete,
					Parents: []v1alpha1.Parent{{Entity: "person", Relation: v1alpha1.RelationDeep,
						Columns: []v1alpha1.ColumnPair{{Column: "person_id", ParentColumn: "id"}}}}},
			}}},
	}
}

func request(namespace, name, subject string) *v1alpha1.ErasureRequest {
	return &v1alpha1.ErasureRequest{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.ErasureRequestSpec{Subject: v1alpha1.Subject{ID: subject}, Source: v1alpha1.SourceAPI, Timing: v1alpha1.TimingAfterGracePeriod}}
}

// ledgerPath is the vault's file.
func (w *world) ledgerPath() string { return filepath.Join(w.folder, "ledger.db") }

// startOperator starts the operator in this process and returns how long it took until it was ready.
func (w *world) startOperator(ctx context.Context) (time.Duration, error) {
	probes, err := freeAddress(ctx)
	if err != nil {
		return 0, err
	}
	o := operator.Options{
		Scheme: wiring.NewScheme(), Log: logr.Discard(), Openers: wiring.Openers(), OpenVault: wiring.OpenVault,
		LocalRoots: map[string]string{waitingNamespace: filepath.Join(w.folder, waitingNamespace), dueNamespace: filepath.Join(w.folder, dueNamespace)},
		LedgerPath: w.ledgerPath(), Namespace: harness.OperatorNamespace, MetricsAddress: "0", ProbeAddress: probes,
		Admission: operator.AdmissionOff, AnchorInterval: 10 * time.Minute, SkipNameValidation: true,
	}
	if w.admission {
		o.Admission, o.AdmissionAddress = operator.AdmissionLoopback, "127.0.0.1:0"
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	begin := time.Now()
	go func() { done <- operator.Run(ctx, w.calls.Watch(w.config), o) }()
	w.stop = func() error {
		cancel()
		w.stop = func() error { return nil }
		return <-done
	}
	for deadline := begin.Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-done:
			return 0, fmt.Errorf("the operator ended: %w", err)
		default:
		}
		if ready(ctx, probes) {
			return time.Since(begin), nil
		}
	}
	return 0, errors.New("the operator does not become ready")
}

func ready(ctx context.Context, probes string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+probes+"/readyz", nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

func freeAddress(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// until waits for something.
func until(what string, true func() (bool, error)) error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if ok, err := true(); err != nil || ok {
			return err
		}
	}
	return errors.New("waited in vain: " + what)
}

// metric adds up a metric of the operator's controller of requests.
func metric(name, controllerLabel string) (sum float64, err error) {
	families, err := metrics.Registry.Gather()
	if err != nil {
		return 0, err
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == controllerLabel && l.GetValue() == "erasurerequest" {
					sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
	}
	return sum, nil
}

// reconciles counts those of requests so far.
func reconciles() (float64, error) { return metric("controller_runtime_reconcile_total", "controller") }

// queued counts the requests that are to be reconciled now.
func queued() (float64, error) { return metric("workqueue_depth", "controller") }
