package controller

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/certificate"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/state"
)

// The operator makes certificates and never changes or deletes one: they go with their owners.
//
// +kubebuilder:rbac:groups=privacy.lethe.dev,resources=erasurecertificates,verbs=create

// publishCertificate shows the newest certificate of a request as an object that goes with its owner. The state store has
// what is certified; the proof is made now, since the ledger's checkpoint is known only after the entry has become durable.
// It returns nil if there is no certificate.
func publishCertificate(ctx context.Context, c client.Client, from state.Reader, log ledger.Log, requestUID, requestName string, owner client.Object) (*v1alpha1.CertificateReference, error) {
	known, err := from.Certificate(ctx, requestUID)
	if errors.Is(err, state.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	record, err := log.Find(ctx, known.Namespace, known.EntryKey)
	if err != nil {
		return nil, err
	}
	checkpoint, err := log.Checkpoint(ctx, known.Namespace)
	if err != nil {
		return nil, err
	}
	hashes, err := log.InclusionProof(ctx, known.Namespace, record.Index, checkpoint.Size)
	if err != nil {
		return nil, err
	}
	document, err := certificate.Assemble(known.Body, record, hashes, checkpoint.Note)
	if err != nil {
		return nil, err
	}
	reference := &v1alpha1.CertificateReference{Name: certificateName(record.Entry.Handle, known.Number), Number: known.Number,
		Digest: record.Entry.Attributes[certificate.AttributeDigest], LedgerIndex: int64(record.Index),
		IssuedAt: metav1.NewTime(policy.CeilSecond(known.IssuedAt))}
	obj := &v1alpha1.ErasureCertificate{
		ObjectMeta: metav1.ObjectMeta{Name: reference.Name, Namespace: known.Namespace, Labels: map[string]string{LabelRequest: labelValue(requestName)}},
		Spec: v1alpha1.ErasureCertificateSpec{Number: known.Number, Result: record.Entry.Reason, IssuedAt: reference.IssuedAt,
			Digest: reference.Digest, LedgerIndex: reference.LedgerIndex, Document: string(document)},
	}
	if err := controllerutil.SetOwnerReference(owner, obj, c.Scheme()); err != nil {
		return nil, err
	}
	if err := c.Create(ctx, obj); err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, err
	}
	return reference, nil
}

// certificateName holds the handle, because a certificate outlives the name of its request.
func certificateName(handle string, number int64) string {
	return fmt.Sprintf("certificate-%s-%d", handle, number)
}

// publish shows the request's newest certificate, unless the status tells that it was shown.
func (s *session) publish(ctx context.Context) error {
	if s.record.Phase != string(v1alpha1.PhaseCompleted) || !s.er.DeletionTimestamp.IsZero() {
		return nil
	}
	known, err := s.State.Certificate(ctx, s.record.UID)
	if errors.Is(err, state.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if shown := s.er.Status.Certificate; shown != nil && shown.Number == known.Number && shown.Digest == certificate.Digest(known.Body) && !s.again {
		return nil
	}
	s.er.Status.Certificate, err = publishCertificate(ctx, s.Client, s.State, s.Journal.Ledger, s.record.UID, s.er.Name, s.er)
	if err == nil {
		crashCertificate.Hit()
	}
	return err
}

// publish shows the certificate that a residue's run has brought about: its request may be purged by now.
func (r *DeletionRunReconciler) publish(ctx context.Context, run *v1alpha1.DeletionRun, record *state.Run) error {
	if record.ResidueID == "" || record.Phase != string(v1alpha1.PhaseCompleted) || run.Status.Phase == v1alpha1.PhaseCompleted || !run.DeletionTimestamp.IsZero() {
		return nil
	}
	_, err := publishCertificate(ctx, r.Client, r.State, r.Executor.Journal.Ledger, record.RequestUID, run.Annotations[v1alpha1.AnnotationRequest], run)
	return err
}
