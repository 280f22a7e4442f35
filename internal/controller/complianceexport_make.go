package controller

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/export"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/policy"
)

// make makes the file and puts it on record. Started is the record of an earlier start, or nil.
func (w *exportWork) make(ctx context.Context, started *ledger.Record) error {
	query, err := export.NewQuery(&w.x.Spec)
	if err == nil {
		err = w.permitted()
	}
	if err != nil {
		return err
	}
	if started == nil {
		if started, err = w.start(ctx, query); err != nil {
			return err
		}
	}
	head, err := w.head(query, started)
	if err != nil {
		return err
	}
	file, err := w.write(ctx, head)
	if err != nil {
		return err
	}
	crashExportWritten.Hit()
	e := ledger.Entry{Kind: ledger.KindExportCompleted, Actor: started.Entry.Actor, Attributes: map[string]string{
		export.AttributeRecords: strconv.FormatInt(file.records, 10), export.AttributeSize: strconv.FormatInt(file.size, 10), export.AttributeSHA256: file.sha256,
		export.AttributeCheckpointSize: started.Entry.Attributes[export.AttributeCheckpointSize], export.AttributeCheckpointRoot: started.Entry.Attributes[export.AttributeCheckpointRoot]}}
	if err := w.record(ctx, "completed", e); err != nil {
		return err
	}
	crashExportRecorded.Hit()
	return nil
}

// permitted refuses what admission would have refused, and what nobody knows to be permitted.
func (w *exportWork) permitted() error {
	if w.x.Spec.Log == v1alpha1.LogAccess {
		if _, known := w.requester(); !known || !w.Admission {
			return fault.Terminalf(v1alpha1.ReasonRequesterUnknown, "who may read the access log is asked by admission, and admission did not see who made this export; "+
				"run the operator with --admission cluster or loopback and make another one")
		}
	}
	if w.x.Spec.Destination == nil && w.Storage == nil {
		return fault.Terminalf(v1alpha1.ReasonExportStorageMissing, "the operator keeps no files: start it with --export-path, or name a DataStore in spec.destination.dataStoreRef")
	}
	return nil
}

// start takes the checkpoint that the file will show, and puts it on record: from then on it is the one.
func (w *exportWork) start(ctx context.Context, query export.Query) (*ledger.Record, error) {
	checkpoint, err := w.Journal.Ledger.Checkpoint(ctx, w.x.Namespace)
	if errors.Is(err, ledger.ErrNotFound) {
		checkpoint.Root, err = ledger.Tree{}.Root(), nil
	}
	if err != nil {
		return nil, err
	}
	retention, err := w.archiveRetention(ctx)
	if err != nil {
		return nil, err
	}
	destination := "operator"
	if d := w.x.Spec.Destination; d != nil {
		destination = "DataStore " + d.DataStoreRef.Name
	}
	actor, _ := w.requester()
	e := ledger.Entry{Kind: ledger.KindExportStarted, Actor: actor, Attributes: map[string]string{
		export.AttributeCheckpointSize: strconv.FormatUint(checkpoint.Size, 10), export.AttributeCheckpointRoot: hex.EncodeToString(checkpoint.Root),
		export.AttributeArchiveRetention: retention, export.AttributeDestination: destination, export.AttributeFilters: strings.Join(query.FilterNames(), ","),
		export.AttributeFrom: optionalTime(query.Period.From), export.AttributeTo: optionalTime(query.Period.To)}}
	if err := w.record(ctx, "started", e); err != nil {
		return nil, err
	}
	crashExportStarted.Hit()
	record, err := w.find(ctx, "started")
	if err == nil && record == nil {
		err = errors.New("the start of the export is not in the ledger")
	}
	return record, err
}

func optionalTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return formatTime(t)
}

// archiveRetention is that of the spec, of the namespace's policy, or the default.
func (w *exportWork) archiveRetention(ctx context.Context) (string, error) {
	if w.x.Spec.ArchiveRetention != "" {
		return w.x.Spec.ArchiveRetention, nil
	}
	var policies v1alpha1.RetentionPolicyList
	if err := w.List(ctx, &policies, client.InNamespace(w.x.Namespace)); err != nil {
		return "", err
	}
	snapshot, _ := policy.SelectPolicy(policies.Items, w.Admission) // without one that applies the default does
	return snapshot.ArchiveRetention, nil
}

// head is what the file says of itself: it follows from the spec and from what is on record.
func (w *exportWork) head(query export.Query, started *ledger.Record) (*export.Head, error) {
	size, err := strconv.ParseUint(started.Entry.Attributes[export.AttributeCheckpointSize], 10, 64)
	if err != nil {
		return nil, fmt.Errorf("the checkpoint on record: %w", err)
	}
	root, err := hex.DecodeString(started.Entry.Attributes[export.AttributeCheckpointRoot])
	if err != nil {
		return nil, fmt.Errorf("the checkpoint on record: %w", err)
	}
	line := ledger.OriginLine(w.LedgerName, w.x.Namespace)
	return &export.Head{Query: query, Namespace: w.x.Namespace, Name: w.x.Name, UID: string(w.x.UID), Ledger: line,
		Checkpoint: ledger.Checkpoint{OriginLine: line, Size: size, Root: root}, MadeAt: started.Entry.Time.Truncate(time.Second), RequestedBy: started.Entry.Actor}, nil
}

// made is a file that was made.
type made struct {
	records, size int64
	sha256        string
}

// write makes the file where it belongs.
func (w *exportWork) write(ctx context.Context, head *export.Head) (made, error) {
	if err := w.Journal.Ledger.Check(ctx, w.x.Namespace, head.Checkpoint.Size, head.Checkpoint.Root); err != nil && head.Checkpoint.Size > 0 {
		return made{}, &fault.Waiting{Reason: v1alpha1.ReasonLedgerUnavailable, After: time.Minute, Err: err, Message: "the ledger is away or does not continue the checkpoint of this export"}
	}
	if head.Format == v1alpha1.FormatPDF {
		w.layout.Lock()
		defer w.layout.Unlock()
	}
	if w.x.Spec.Destination != nil {
		return w.writeToStore(ctx, head)
	}
	return w.writeToFolder(ctx, head)
}

func (w *exportWork) writeToFolder(ctx context.Context, head *export.Head) (made, error) {
	file, err := w.Storage.Create(head.Namespace, head.UID, export.FileName(head.Name, head.Format))
	if err != nil {
		return made{}, err
	}
	defer file.Discard()
	records, err := export.Write(ctx, w.Projection, head, file, w.progress(ctx, head))
	if err == nil {
		err = file.Commit()
	}
	return made{records, file.Size(), export.Hex(file.SHA256())}, err
}

// progress writes the status now and then, and learns whether the object was deleted.
func (w *exportWork) progress(ctx context.Context, head *export.Head) func(uint64) error {
	last := w.Clock.Now()
	return func(index uint64) error {
		if w.Clock.Since(last) < progressInterval {
			return ctx.Err()
		}
		last = w.Clock.Now()
		w.x.Status.Phase, w.x.Status.RequestedBy = v1alpha1.ExportProcessing, head.RequestedBy
		w.x.Status.StartedAt = &metav1.Time{Time: head.MadeAt}
		w.x.Status.Progress = int32(min(100*index/max(head.Checkpoint.Size, 1), 99)) //nolint:gosec // at most 99
		summarize(w.x, reconciling(v1alpha1.ReasonProcessing, "the file is being written", 0))
		err := patchStatus(ctx, w.Client, w.x, w.read)
		switch {
		case apierrors.IsNotFound(err):
			return errExportDeleted
		case apierrors.IsConflict(err):
			err = w.Get(ctx, client.ObjectKeyFromObject(w.x), w.x)
			if apierrors.IsNotFound(err) {
				return errExportDeleted
			}
		}
		if err != nil {
			return err
		}
		*w.read = *w.x.DeepCopy()
		if !w.x.DeletionTimestamp.IsZero() {
			return errExportDeleted
		}
		return nil
	}
}

// show writes into the status what is on record.
func (w *exportWork) show(ctx context.Context, started, completed *ledger.Record) error {
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(completed.Entry.Attributes[name], 10, 64)
		return n
	}
	expires, err := policy.PurgeTime(completed.Entry.Time, started.Entry.Attributes[export.AttributeArchiveRetention])
	if err != nil {
		return err
	}
	st := &w.x.Status
	st.Phase, st.Progress = v1alpha1.ExportCompleted, 100
	st.Records, st.Size, st.SHA256 = number(export.AttributeRecords), number(export.AttributeSize), completed.Entry.Attributes[export.AttributeSHA256]
	st.Checkpoint = &v1alpha1.LedgerCheckpoint{Size: number(export.AttributeCheckpointSize), Root: completed.Entry.Attributes[export.AttributeCheckpointRoot]}
	st.RequestedBy = completed.Entry.Actor
	st.StartedAt, st.CompletedAt = &metav1.Time{Time: started.Entry.Time.Truncate(time.Second)}, &metav1.Time{Time: policy.CeilSecond(completed.Entry.Time)}
	st.ExpiresAt = &metav1.Time{Time: expires}
	st.Location = w.location()
	if st.Proof == "" {
		st.Proof, err = w.proof(ctx, completed)
	}
	return err
}

func (w *exportWork) location() string {
	if d := w.x.Spec.Destination; d != nil {
		return w.storePath()
	}
	return export.DownloadPath(w.x.Namespace, w.x.Name)
}

// proof is made of the newest checkpoint.
func (w *exportWork) proof(ctx context.Context, completed *ledger.Record) (string, error) {
	checkpoint, err := w.Journal.Ledger.Checkpoint(ctx, w.x.Namespace)
	if err != nil {
		return "", err
	}
	hashes, err := w.Journal.Ledger.InclusionProof(ctx, w.x.Namespace, completed.Index, checkpoint.Size)
	if err != nil {
		return "", err
	}
	text, err := export.Assemble(checkpoint.OriginLine, *completed, hashes, checkpoint.Note)
	return string(text), err
}

// present makes a file anew that is gone from the operator's folder, and leaves it alone if it would be another one.
func (w *exportWork) present(ctx context.Context, started, completed *ledger.Record) error {
	if w.x.Spec.Destination != nil || w.Storage == nil {
		return nil
	}
	file, err := w.Storage.Open(w.x.Namespace, string(w.x.UID), export.FileName(w.x.Name, w.x.Spec.Format))
	if err == nil {
		return file.Close()
	}
	if !errors.Is(err, export.ErrGone) {
		return err
	}
	query, err := export.NewQuery(&w.x.Spec)
	if err != nil {
		return err
	}
	head, err := w.head(query, started)
	if err != nil {
		return err
	}
	again, err := w.write(ctx, head)
	if err == nil && again.sha256 != completed.Entry.Attributes[export.AttributeSHA256] {
		err = errors.Join(w.remove(ctx), fault.Terminalf(v1alpha1.ReasonExportChanged,
			"the file is gone from the operator's folder, and this version of the operator would write another one; restore it from a backup, or make another export"))
	}
	return err
}

// remove removes the file, wherever it is.
func (w *exportWork) remove(ctx context.Context) error {
	if w.x.Spec.Destination != nil {
		return w.removeFromStore(ctx)
	}
	if w.Storage == nil {
		return nil
	}
	return w.Storage.Remove(w.x.Namespace, string(w.x.UID))
}
