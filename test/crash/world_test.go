package crash_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/test/harness"
)

const (
	// patience with one step of a script, on a machine that is busy with other tests.
	patience = 30 * time.Second
	pollTime = 50 * time.Millisecond
	// lease of a vault in PostgreSQL: whoever comes after a killed operator waits for it.
	lease = 4 * time.Second
)

// kill is one death of the operator: at the nth hit of a point, in one generation. Generations count the orderly restarts
// of a script; a process that replaces a killed one is of the same generation.
type kill struct {
	Generation int
	Point      string
	Nth        int
}

func (k kill) String() string {
	name := k.Point
	if k.Generation > 0 {
		name += fmt.Sprintf(" after restart %d", k.Generation)
	}
	if k.Nth > 1 {
		name += fmt.Sprintf(" hit %d", k.Nth)
	}
	return name
}

// world is one case: a workspace with its own stores, and an operator with its own vault.
type world struct {
	t                   *testing.T
	ctx                 context.Context
	cluster             *harness.Cluster
	namespace, operator string
	folder              string
	// vault is the database of the vault, "" for a file.
	vault       string
	db          *pgx.Conn
	before      rows
	filesBefore map[string]string

	process    *harness.Process
	generation int
	// kills still to come; the first is armed.
	kills []kill
	logs  []*harness.Buffer
}

// newWorld makes a workspace with a copy of the data, and starts the operator.
func newWorld(t *testing.T, cluster *harness.Cluster, inPostgreSQL bool, kills ...kill) *world {
	t.Helper()
	w := &world{t: t, ctx: t.Context(), cluster: cluster, folder: t.TempDir(), kills: kills}
	w.must(os.Mkdir(w.path("vault"), 0o700))
	var err error
	w.namespace, err = cluster.NewNamespace(w.ctx, "people")
	w.must(err)
	w.operator, err = cluster.NewNamespace(w.ctx, "operator")
	w.must(err)
	w.copyData()
	if inPostgreSQL {
		w.makeVault()
	}
	w.create(declarations(w.namespace, w.db.Config().Database, "127.0.0.1", postgres.Port)...)
	t.Cleanup(w.removeObjects)
	w.start()
	return w
}

func (w *world) path(elements ...string) string {
	return filepath.Join(append([]string{w.folder}, elements...)...)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// copyData makes the case's database and files.
func (w *world) copyData() {
	w.t.Helper()
	name := "crash_" + strings.ReplaceAll(w.namespace, "-", "_") + "_" + fmt.Sprint(databases.Add(1))
	w.must(administer("CREATE DATABASE " + name + " TEMPLATE " + templateDatabase))
	var err error
	w.db, err = postgres.Connect(w.ctx, name)
	w.must(err)
	w.t.Cleanup(func() {
		_ = w.db.Close(context.Background())
		if err := administer("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			w.t.Error(err)
		}
	})
	w.must(writeFiles(w.ctx, w.db, w.path("root", "storage")))
	w.before, err = dump(w.ctx, w.db)
	w.must(err)
	w.filesBefore, err = listFiles(w.path("root", "storage"))
	w.must(err)
}

// makeVault makes a database for ledger and state store.
func (w *world) makeVault() {
	w.t.Helper()
	w.vault = "vault_" + strings.ReplaceAll(w.namespace, "-", "_") + "_" + fmt.Sprint(databases.Add(1))
	w.must(administer("CREATE DATABASE " + w.vault + " TEMPLATE template0"))
	w.must(os.WriteFile(w.path("vault", "url"), []byte(w.vaultURL()+"\n"), 0o600))
	w.t.Cleanup(func() {
		if err := administer("DROP DATABASE " + w.vault + " WITH (FORCE)"); err != nil {
			w.t.Error(err)
		}
	})
}

func (w *world) vaultURL() string {
	return fmt.Sprintf("postgres://%s@/%s?host=%s&port=%d&sslmode=disable", postgres.User, w.vault, postgres.Host, postgres.Port)
}

func (w *world) create(objects ...client.Object) {
	w.t.Helper()
	for _, o := range objects {
		w.must(w.cluster.Client.Create(w.ctx, o))
	}
}

// get reads an object of the workspace.
func (w *world) get(name string, into client.Object) {
	w.t.Helper()
	w.must(w.cluster.Client.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: name}, into))
}

// change patches an object of the workspace, as a person would with kubectl.
func change[T client.Object](w *world, name string, object T, f func(T)) error {
	w.t.Helper()
	w.get(name, object)
	read := object.DeepCopyObject().(client.Object)
	f(object)
	return w.cluster.Client.Patch(w.ctx, object, client.MergeFrom(read))
}

// start starts the operator; the next kill is armed if it is of this generation.
func (w *world) start() {
	w.t.Helper()
	var env []string
	if len(w.kills) > 0 && w.kills[0].Generation == w.generation {
		env = []string{fmt.Sprintf("LETHE_CRASH_AT=%s#%d", w.kills[0].Point, w.kills[0].Nth), "LETHE_CRASH_MARK=" + w.mark()}
	} else if len(w.kills) == 0 {
		env = []string{"LETHE_CRASH_TRACE=" + w.trace(w.generation)}
	}
	options := harness.ManagerOptions{Kubeconfig: w.cluster.Kubeconfig, Namespace: w.operator, Folder: w.path("vault"),
		LocalRoots: map[string]string{w.namespace: w.path("root")}}
	if w.vault != "" {
		options.LedgerURLFile, options.LedgerLease = w.path("vault", "url"), lease
	}
	w.process = harness.StartProcess(w.t, binary, options.Args(), env)
	w.logs = append(w.logs, w.process.Logs)
}

func (w *world) mark() string                { return w.path(fmt.Sprintf("mark-%d", len(w.kills))) }
func (w *world) trace(generation int) string { return w.path(fmt.Sprintf("trace-%d", generation)) }

// hits are the points that the operator came by in a generation, in their order.
func (w *world) hits(generation int) []string {
	w.t.Helper()
	file, err := os.Open(w.trace(generation))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	w.must(err)
	defer func() { _ = file.Close() }()
	var hits []string
	for lines := bufio.NewScanner(file); lines.Scan(); {
		hits = append(hits, lines.Text())
	}
	return hits
}

// killed makes sure that the operator, which has ended, died where it was to die, and takes that kill from the list.
func (w *world) killed() {
	w.t.Helper()
	if len(w.kills) == 0 || w.kills[0].Generation != w.generation {
		w.fail("the operator ended by itself")
	}
	if _, err := os.Stat(w.mark()); err != nil || w.process.KilledBy() != syscall.SIGKILL {
		w.fail("the operator ended (signal %d), but not at %s", w.process.KilledBy(), w.kills[0])
	}
	w.kills = w.kills[1:]
}

// revive starts the operator anew where it was killed.
func (w *world) revive() {
	w.t.Helper()
	if w.process.Ended() {
		w.killed()
		w.start()
	}
}

// restart ends the operator in order and starts the next generation.
func (w *world) restart() {
	w.t.Helper()
	w.stop()
	w.generation++
	w.start()
}

// stop ends the operator in order; it may be killed while it ends.
func (w *world) stop() {
	w.t.Helper()
	if err := w.process.Stop(patience); err == nil {
		return
	}
	w.killed()
	w.start()
	w.must(w.process.Stop(patience))
}

// await polls until the condition holds, and replaces the operator whenever it was killed.
func (w *world) await(what string, holds func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(pollTime) {
		w.revive()
		if time.Now().After(deadline) {
			w.fail("%s: not within %s", what, patience)
		}
	}
}

// awaitKills waits for the kills that are left: what was awaited may hold a moment before the process dies.
func (w *world) awaitKills() {
	w.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); len(w.kills) > 0; time.Sleep(pollTime) {
		w.revive()
		if time.Now().After(deadline) {
			w.fail("crash point %s was not hit", w.kills[0])
		}
	}
}

// fail ends the case with the operators' logs, without lines that hold what must not be in a log.
func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	for i, log := range w.logs {
		for line := range strings.Lines(log.String()) {
			if !canary(line) && !strings.Contains(line, `"msg":"Starting`) {
				w.t.Logf("operator %d: %s", i+1, strings.TrimRight(line, "\n"))
			}
		}
	}
	w.t.Fatalf(format, args...)
}

// canary tells whether a text holds personal data.
func canary(text string) bool {
	text = strings.ToLower(text)
	return strings.Contains(text, strings.ToLower(canaryName)) || strings.Contains(text, canaryDomain)
}

// removeObjects takes this case's objects away: the next operator of this cluster sees all namespaces.
func (w *world) removeObjects() {
	if w.process != nil {
		w.process.Kill()
	}
	ctx := context.Background()
	for _, list := range []client.ObjectList{&v1alpha1.ErasureRequestList{}, &v1alpha1.DeletionRunList{}, &v1alpha1.LegalHoldList{},
		&v1alpha1.PersonalDataMapList{}, &v1alpha1.DataStoreList{}, &v1alpha1.RetentionPolicyList{}, &v1alpha1.ComplianceExportList{}, &corev1.SecretList{}} {
		for _, o := range w.list(ctx, list, w.namespace) {
			if controllerutil.RemoveFinalizer(o, v1alpha1.Finalizer) {
				w.must(client.IgnoreNotFound(w.cluster.Client.Update(ctx, o)))
			}
			w.must(client.IgnoreNotFound(w.cluster.Client.Delete(ctx, o)))
		}
	}
}

// list reads all objects of a kind in a namespace.
func (w *world) list(ctx context.Context, list client.ObjectList, namespace string) []client.Object {
	w.t.Helper()
	w.must(w.cluster.Client.List(ctx, list, client.InNamespace(namespace)))
	items, err := meta.ExtractList(list)
	w.must(err)
	objects := make([]client.Object, len(items))
	for i, item := range items {
		objects[i] = item.(client.Object)
	}
	return objects
}
