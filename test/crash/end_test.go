package crash_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"golang.org/x/mod/sumdb/note"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	_ "github.com/jackc/pgx/v5/stdlib" // reads the state store as it lies in its database
	_ "modernc.org/sqlite"             // and as it lies on disk

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/certificate"
	"github.com/lethe-dev/lethe/internal/keys"
	keyskubernetes "github.com/lethe-dev/lethe/internal/keys/kubernetes"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/ledger/treelog"
	vaultpostgresql "github.com/lethe-dev/lethe/internal/vault/postgresql"
	vaultsqlite "github.com/lethe-dev/lethe/internal/vault/sqlite"
	"github.com/lethe-dev/lethe/internal/verify"
	"github.com/lethe-dev/lethe/test/schemas"
)

// end is everything that a life left behind, as stores, files, API, ledger and state store say themselves, but for what
// differs from run to run: times, random ids, random values.
type end struct {
	Rows    rows
	Effects map[string]int
	// Files that are left; FilesTouched counts those that are not as they were, byte for byte and by their time of change.
	Files        []string
	FilesTouched int
	Requests     map[string]requestEnd
	Runs         []runEnd
	Holds        map[string][]string
	// Certificates that were published, with what the verifier says of them.
	Certificates []string
	// Exports that are left, with what the verifier says of their files, and ExportFiles all that the operator keeps of exports.
	Exports, ExportFiles []string
	// Ledger counts entries by request, kind, step and reason.
	Ledger map[string]int
	// Sealed counts what is sealed in the state store by kind, Keys the operator's keys by purpose.
	Sealed, Keys map[string]int
	Claims       int
	Tombstones   int
	Residues     []string
	Identities   []string
	// Canaries counts lines of the operators' logs that hold personal data.
	Canaries int
}

type requestEnd struct {
	Phase       v1alpha1.Phase
	Conditions  []string
	DuplicateOf string
	Counts      []v1alpha1.CategoryCount
	Retained    []v1alpha1.RetainedData
	HasRun      bool
}

type runEnd struct {
	Of         string
	Phase      v1alpha1.Phase
	Conditions []string
	Revision   int32
	Counts     []v1alpha1.CategoryCount
	Retained   []v1alpha1.RetainedData
	Steps      []v1alpha1.RunStep
	Progress   string
}

// end stops the operator and gathers what it left.
func (w *world) end() *end {
	w.t.Helper()
	w.stop()
	e := &end{Requests: map[string]requestEnd{}, Holds: map[string][]string{}, Keys: w.keys(), Identities: w.identities()}
	var err error
	e.Rows, err = dump(w.ctx, w.db)
	w.must(err)
	e.Rows.hideRandom(w.before)
	e.Effects, err = effects(w.ctx, w.db)
	w.must(err)
	w.endOfFiles(e)
	handles := w.endOfObjects(e)
	w.endOfLedger(e, handles)
	w.endOfCertificates(e, handles)
	w.endOfExports(e)
	w.endOfState(e)
	for _, log := range w.logs {
		for line := range strings.Lines(log.String()) {
			if canary(line) {
				e.Canaries++
			}
		}
	}
	return e
}

func (w *world) endOfFiles(e *end) {
	w.t.Helper()
	files, err := listFiles(w.path("root", "storage"))
	w.must(err)
	for name, content := range files {
		e.Files = append(e.Files, name)
		if content != w.filesBefore[name] {
			e.FilesTouched++
		}
	}
	sort.Strings(e.Files)
}

// endOfObjects reads the API's objects and returns the requests' names by their handle.
func (w *world) endOfObjects(e *end) map[string]string {
	w.t.Helper()
	handles := map[string]string{}
	for _, o := range w.list(w.ctx, &v1alpha1.ErasureRequestList{}, w.namespace) {
		st := o.(*v1alpha1.ErasureRequest).Status
		name := o.GetName()
		if o.GetAnnotations()[v1alpha1.AnnotationRun] != "" {
			name = "made by a run" // its name is different in every life
		}
		handles[st.Handle] = name
		e.Requests[name] = requestEnd{Phase: st.Phase, Conditions: words(st.Conditions), DuplicateOf: st.DuplicateOf,
			Counts: st.Counts, Retained: st.Retained, HasRun: st.Run != ""}
	}
	for _, o := range w.list(w.ctx, &v1alpha1.DeletionRunList{}, w.namespace) {
		run := o.(*v1alpha1.DeletionRun)
		st := run.Status
		of := "residue"
		switch {
		case run.Spec.Request != nil && e.Requests[run.Spec.Request.Name].Phase == "":
			of = "made by a run"
		case run.Spec.Request != nil:
			of = run.Spec.Request.Name
		case run.Spec.Retention != nil:
			of = run.Spec.Retention.Rule
		}
		if run.Spec.Retention != nil {
			st.Counts = slices.Clone(st.Counts)
			for i := range st.Counts {
				st.Counts[i].Files = 0 // files removed right before a death are not counted (docs/promises.md)
			}
		}
		e.Runs = append(e.Runs, runEnd{Of: of, Phase: st.Phase, Conditions: words(st.Conditions), Revision: st.PlanRevision,
			Counts: st.Counts, Retained: st.Retained, Steps: st.Steps, Progress: st.Progress})
	}
	sort.Slice(e.Runs, func(i, j int) bool { return e.Runs[i].Of < e.Runs[j].Of })
	for _, o := range w.list(w.ctx, &v1alpha1.LegalHoldList{}, w.namespace) {
		e.Holds[o.GetName()] = words(o.(*v1alpha1.LegalHold).Status.Conditions)
	}
	return handles
}

// endOfCertificates verifies what was published, with the key that was published.
func (w *world) endOfCertificates(e *end, handles map[string]string) {
	w.t.Helper()
	keys := w.verifierKeys()
	for _, o := range w.list(w.ctx, &v1alpha1.ErasureCertificateList{}, w.namespace) {
		spec := o.(*v1alpha1.ErasureCertificate).Spec
		report, err := verify.Certificate(keys, []byte(spec.Document), nil, nil)
		w.must(err)
		d, err := certificate.Parse([]byte(spec.Document))
		w.must(err)
		b := d.Certificate
		e.Certificates = append(e.Certificates, fmt.Sprintf("%s %d %s verified: %t, %v, %d retained, %d events", handles[b.Request.Handle], b.Number, b.Result,
			report.Verified, b.Categories, len(b.Retained), len(b.Timeline)))
	}
	sort.Strings(e.Certificates)
}

func (w *world) verifierKeys() ledger.VerifierKeys {
	w.t.Helper()
	var shown corev1.ConfigMap
	w.must(w.cluster.Client.Get(w.ctx, client.ObjectKey{Namespace: w.operator, Name: "lethe-ledger-key"}, &shown))
	keys, err := ledger.ParseVerifierKeys(shown.Data["key"])
	w.must(err)
	return keys
}

// endOfExports verifies the files that are left, with the key that was published.
func (w *world) endOfExports(e *end) {
	w.t.Helper()
	for _, o := range w.list(w.ctx, &v1alpha1.ComplianceExportList{}, w.namespace) {
		x := o.(*v1alpha1.ComplianceExport)
		file, err := os.ReadFile(w.path("vault", "exports", w.namespace, string(x.UID), x.Name+".json"))
		w.must(err)
		report, err := verify.Export(w.verifierKeys(), bytes.NewReader(file), []byte(x.Status.Proof), nil, nil)
		w.must(err)
		e.Exports = append(e.Exports, fmt.Sprintf("%s %s %v, %d records, verified: %t", x.Name, x.Status.Phase, words(x.Status.Conditions), x.Status.Records, report.Verified))
		if canary(string(file)) {
			e.Canaries++
		}
	}
	found, err := filepath.Glob(w.path("vault", "exports", "*", "*", "*"))
	w.must(err)
	for _, path := range found {
		e.ExportFiles = append(e.ExportFiles, filepath.Base(path))
	}
}

func words(conditions []metav1.Condition) []string {
	all := make([]string, 0, len(conditions))
	for _, c := range conditions {
		all = append(all, c.Type+"="+string(c.Status)+" "+c.Reason)
	}
	sort.Strings(all)
	return all
}

// endOfLedger verifies the whole ledger and counts its entries.
func (w *world) endOfLedger(e *end, handles map[string]string) {
	w.t.Helper()
	var system corev1.Namespace
	w.must(w.cluster.Client.Get(w.ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, &system))
	logName := "lethe.dev/" + string(system.UID)
	seed, err := keyskubernetes.New(w.cluster.Client, w.cluster.Client, w.operator).Get(w.ctx, keys.ID{Purpose: keys.Ledger, Namespace: w.operator, Name: "signing"})
	w.must(err)
	signer, err := ledger.NewSigner(logName, seed)
	w.must(err)
	log, closeVault := w.openVault(signer)
	defer func() { w.must(closeVault()) }()

	text, err := signer.VerifierKeyFor(w.namespace)
	w.must(err)
	verifier, err := note.NewVerifier(text)
	w.must(err)
	checkpoint, err := log.Checkpoint(w.ctx, w.namespace)
	w.must(err)
	e.Ledger = map[string]int{}
	evidence := ledger.Evidence{OriginLine: ledger.OriginLine(logName, w.namespace), Verifier: verifier, Current: checkpoint.Note,
		Earlier: []ledger.Checkpoint{w.knownCheckpoint(ledger.OriginLine(logName, w.namespace))}}
	validate, err := schemas.Load(schemas.LedgerEntry)
	w.must(err)
	w.must(ledger.VerifyRecords(evidence, counted(w.ctx, log, w.namespace, func(entry ledger.Entry) {
		leaf, err := ledger.EncodeLeaf(entry)
		w.must(errors.Join(err, validate(leaf)))
		if entry.Kind == ledger.KindRetentionIntent || entry.Kind == ledger.KindRetentionOutcome {
			return // a page in doubt is announced again; what the run did in all is in its last entry
		}
		words := strings.Fields(strings.Join([]string{handles[entry.Handle], entry.Kind, entry.Step, entry.Reason}, " "))
		if entry.Kind == ledger.KindRunCompleted {
			counts := slices.DeleteFunc(slices.Clone(entry.Counts), func(c ledger.Count) bool { return c.Action == "DeleteFile" })
			words = append(words, fmt.Sprint(counts))
		}
		e.Ledger[strings.Join(words, " ")]++
	})))
}

// counted are all records of a ledger's origin, each shown to count as it passes.
func counted(ctx context.Context, log ledger.Log, origin string, count func(ledger.Entry)) iter.Seq2[ledger.Record, error] {
	return func(yield func(ledger.Record, error) bool) {
		for from := uint64(0); ; {
			page, err := log.Entries(ctx, origin, from, ledger.MaxPage)
			if err != nil {
				yield(ledger.Record{}, err)
				return
			}
			if len(page) == 0 {
				return
			}
			for _, record := range page {
				count(record.Entry)
				if !yield(record, nil) {
					return
				}
			}
			from += uint64(len(page))
		}
	}
}

// openVault opens the vault as an operator does.
func (w *world) openVault(signer *ledger.Signer) (ledger.Log, func() error) {
	w.t.Helper()
	options := treelog.Options{LogName: signer.Name(), Signer: signer}
	if w.vault != "" {
		vault, err := vaultpostgresql.Open(w.ctx, vaultpostgresql.Options{URL: func() (string, error) { return w.vaultURL(), nil }, Ledger: options})
		w.must(err)
		return vault.Ledger, vault.Close
	}
	vault, err := vaultsqlite.Open(w.ctx, w.path("vault", "ledger.db"), options)
	w.must(err)
	return vault.Ledger, vault.Close
}

// openState opens the state store for reading, as somebody would who found it.
func (w *world) openState() *sql.DB {
	w.t.Helper()
	if w.vault != "" {
		db, err := sql.Open("pgx", w.vaultURL()+"&search_path=lethe")
		w.must(err)
		return db
	}
	db, err := sql.Open("sqlite", "file:"+w.path("vault", "ledger.db")+"?mode=ro")
	w.must(err)
	return db
}

// knownCheckpoint is the newest checkpoint of the ledger that the state store knows.
func (w *world) knownCheckpoint(originLine string) ledger.Checkpoint {
	w.t.Helper()
	db := w.openState()
	defer func() { _ = db.Close() }()
	known := ledger.Checkpoint{OriginLine: originLine}
	w.must(db.QueryRowContext(w.ctx, "SELECT size, root FROM checkpoints WHERE origin = '"+w.namespace+"'").Scan(&known.Size, &known.Root))
	return known
}

func (w *world) endOfState(e *end) {
	w.t.Helper()
	db := w.openState()
	defer func() { _ = db.Close() }()
	texts := func(query string) []string {
		found, err := db.QueryContext(w.ctx, query)
		w.must(err)
		defer func() { _ = found.Close() }()
		var all []string
		for found.Next() {
			var text string
			w.must(found.Scan(&text))
			all = append(all, text)
		}
		w.must(found.Err())
		sort.Strings(all)
		return all
	}
	e.Sealed = map[string]int{}
	for _, kind := range texts("SELECT kind FROM sealed") {
		e.Sealed[kind]++
	}
	e.Claims, e.Tombstones = len(texts("SELECT key FROM claims")), len(texts("SELECT mac FROM tombstones"))
	body := "body"
	if w.vault != "" {
		body = "body::jsonb"
	}
	e.Residues = texts("SELECT state || ' ' || open_holds || ' open holds, ' || (" + body + " ->> 'basis') FROM residues")
}

// verifyUndisturbed holds the end of an undisturbed life against what was counted by hand, so that ends which are equal
// are right too.
func (w *world) verifyUndisturbed(s scenario, e *end) {
	w.t.Helper()
	want := map[string]int{}
	deleted, updated := 0, 0
	for id, columns := range w.before {
		switch now, there := e.Rows[id]; {
		case !there:
			deleted++
			want["DELETE "+id] = 1
		case fmt.Sprint(now) != fmt.Sprint(columns):
			updated++
			want["UPDATE "+id] = 1
		}
	}
	for effect, times := range s.effects {
		want[effect] = times
	}
	w.equal("effects", want, e.Effects)
	w.equal("rows that are gone, rows that are different, files that are gone, files that are different",
		[]int{s.deleted, s.updated, s.files, 0}, []int{deleted, updated, len(w.filesBefore) - len(e.Files), e.FilesTouched})
	w.equal("lines of the log with personal data", 0, e.Canaries)
	w.equal("identities, sealed plans and sealed deactivations, keys of runs and deactivations, claims", []int{0, 0, 0, 0, 0, 0},
		[]int{len(e.Identities), e.Sealed["run"], e.Sealed["request"], e.Keys["run"], e.Keys["deactivation"], e.Claims})
	waiting := 0
	for _, residue := range e.Residues {
		if !strings.HasPrefix(residue, "Done ") {
			waiting++
		}
	}
	w.equal("sealed residues and their keys are those that wait", []int{waiting, waiting}, []int{e.Sealed["residue"], e.Keys["residue"]})
	for name, request := range e.Requests {
		completed := 0
		if request.Phase == v1alpha1.PhaseCompleted {
			completed = 1
		}
		w.equal("completions of "+name+" in the ledger", completed, e.Ledger[name+" "+ledger.KindErasureCompleted])
		verified := 0
		for _, c := range e.Certificates {
			if strings.HasPrefix(c, name+" 1 ") && strings.Contains(c, "verified: true") {
				verified++
			}
		}
		w.equal("first certificates of "+name, completed, verified)
	}
}
