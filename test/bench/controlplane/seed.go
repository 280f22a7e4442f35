package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/ledger"
)

// record is what a copy of the pattern has of its own in the state store.
type record struct{ uid, name, handle string }

// seed makes the requests that wait, as copies of one that the operator has led into its grace period: through it all of them
// would take half an hour. The operator is stopped.
func (w *world) seed(ctx context.Context) error {
	var pattern v1alpha1.ErasureRequest
	if err := w.client.Get(ctx, client.ObjectKey{Namespace: waitingNamespace, Name: "pattern"}, &pattern); err != nil {
		return err
	}
	text, err := json.Marshal(&pattern)
	if err != nil {
		return err
	}
	figure("object_bytes", float64(len(text)))
	if err := w.openDoor(ctx); err != nil {
		return err
	}
	if err := w.statusResource(ctx, false, &pattern); err != nil {
		return err
	}
	note("making %d requests", w.requests-1)
	records := make([]record, w.requests-1)
	begin := time.Now()
	err = w.each(len(records), func(i int) error {
		r := record{name: fmt.Sprintf("waiting-%06d", i), handle: ledger.NewHandle(begin)}
		er := clone(&pattern, r)
		if err := w.client.Create(ctx, er); err != nil {
			return err
		}
		r.uid = string(er.UID)
		records[i] = r
		return nil
	})
	if err != nil {
		return err
	}
	figure("creates_per_second", float64(len(records))/time.Since(begin).Seconds())
	if err := w.statusResource(ctx, true, &pattern); err != nil {
		return err
	}
	return w.seedState(ctx, string(pattern.UID), records)
}

func clone(pattern *v1alpha1.ErasureRequest, r record) *v1alpha1.ErasureRequest {
	er := pattern.DeepCopy()
	er.ObjectMeta = metav1.ObjectMeta{Namespace: pattern.Namespace, Name: r.name, Annotations: pattern.Annotations, Finalizers: pattern.Finalizers}
	er.Spec.Subject.ID = "subject-of-" + r.name
	er.Status.Handle = r.handle
	return er
}

// openDoor removes the webhooks, which nobody serves while the operator is away; its next start installs them.
func (w *world) openDoor(ctx context.Context) error {
	return errors.Join(w.client.DeleteAllOf(ctx, &admissionregistrationv1.MutatingWebhookConfiguration{}),
		w.client.DeleteAllOf(ctx, &admissionregistrationv1.ValidatingWebhookConfiguration{}))
}

// statusResource switches the status of requests between a resource of its own and a part that a creation may write.
func (w *world) statusResource(ctx context.Context, own bool, pattern *v1alpha1.ErasureRequest) error {
	crd := &unstructured.Unstructured{}
	crd.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	crd.SetName("erasurerequests.privacy.lethe.dev")
	value := `null`
	if own {
		value = `{"status":{}}`
	}
	patch := client.RawPatch(types.JSONPatchType, []byte(`[{"op":"add","path":"/spec/versions/0/subresources","value":`+value+`}]`))
	if err := w.client.Patch(ctx, crd, patch); err != nil {
		return err
	}
	return until("the API server knows the changed kind", func() (bool, error) {
		probe := clone(pattern, record{name: "probe", handle: pattern.Status.Handle})
		if err := w.client.Create(ctx, probe, client.DryRunAll); err != nil {
			return false, err
		}
		return (probe.Status.Phase == "") == own, nil
	})
}

// inState changes the operator's state store, in one transaction.
func (w *world) inState(ctx context.Context, change func(tx *sql.Tx) error) (err error) {
	db, err := sql.Open("sqlite", "file:"+w.ledgerPath()+"?_pragma=busy_timeout(10000)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := change(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// seedState makes the records of the copies.
func (w *world) seedState(ctx context.Context, pattern string, records []record) error {
	return w.inState(ctx, func(tx *sql.Tx) error {
		for _, r := range records {
			for _, statement := range []string{
				`INSERT INTO requests (uid, namespace, name, revision, subject_pseudonym, body)
					SELECT ?1, namespace, ?2, 1, 'pseudonym-of-' || ?2, json_set(body, '$.handle', ?3) FROM requests WHERE uid = ?4`,
				`INSERT INTO claims (namespace, key, owner_uid, owner_name)
					SELECT namespace, key || ?2, ?1, ?2 FROM claims WHERE owner_uid = ?4 AND ?3 <> ''`,
				`INSERT INTO sealed (kind, id, digest, text) SELECT kind, ?1, digest, text FROM sealed WHERE kind = 'deactivation' AND id = ?4 AND ?2 <> ?3`,
			} {
				if _, err := tx.ExecContext(ctx, statement, r.uid, r.name, r.handle, pattern); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// schedule sets when the requests become due, and returns that with the rate at which the API server takes status patches.
func (w *world) schedule(ctx context.Context, plain time.Duration) (dues map[string]time.Time, rate float64, err error) {
	// The start must be over by then.
	lead := 3*plain + time.Duration(w.requests/1000)*time.Second + time.Minute
	first := time.Now().Add(lead).Truncate(time.Second).UTC()
	dues = map[string]time.Time{}
	for i := range w.spread {
		dues[spreadName(i)] = first.Add(time.Duration(i/2) * time.Second)
	}
	for i := range w.burst {
		dues[burstName(w, i)] = first.Add(time.Duration(w.spread/2+10) * time.Second)
	}
	err = w.inState(ctx, func(tx *sql.Tx) error {
		for name, at := range dues {
			if _, err := tx.ExecContext(ctx, `UPDATE requests SET body = json_set(body, '$.scheduledAt', ?) WHERE namespace = ? AND name = ?`,
				at.Format(time.RFC3339), dueNamespace, name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	begin := time.Now()
	err = w.each(len(dues), func(i int) error {
		name := spreadName(i)
		er := &v1alpha1.ErasureRequest{ObjectMeta: metav1.ObjectMeta{Namespace: dueNamespace, Name: name}}
		patch := fmt.Sprintf(`{"status":{"scheduledAt":%q}}`, dues[name].Format(time.RFC3339))
		return w.client.Status().Patch(ctx, er, client.RawPatch(types.MergePatchType, []byte(patch)))
	})
	return dues, float64(len(dues)) / time.Since(begin).Seconds(), err
}
