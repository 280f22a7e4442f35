package controller

import (
	"context"
	"slices"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/export"
)

// ExportSweep removes, once when the operator starts, the files of exports whose objects are gone: somebody took the finalizer
// away, or the operator never saw the deletion.
type ExportSweep struct {
	// Reader asks the API server itself.
	Reader  client.Reader
	Storage *export.Storage
	// Namespaces that the operator serves; none means all.
	Namespaces []string
	Log        logr.Logger
}

// NeedLeaderElection makes the leader alone sweep.
func (*ExportSweep) NeedLeaderElection() bool { return true }

// Start sweeps. What it cannot do now it does at the next start.
func (s *ExportSweep) Start(ctx context.Context) error {
	if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
		s.Log.Error(err, "files of exports that are gone could not be removed; that is tried again at the next start")
	}
	return nil
}

func (s *ExportSweep) sweep(ctx context.Context) error {
	kept, err := s.Storage.Kept() // before the list: a file is never older than its object
	if err != nil {
		return err
	}
	namespaces := s.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	alive := map[string]bool{}
	for _, namespace := range namespaces {
		var all v1alpha1.ComplianceExportList
		if err := s.Reader.List(ctx, &all, client.InNamespace(namespace)); err != nil {
			return err
		}
		for i := range all.Items {
			alive[string(all.Items[i].UID)] = true
		}
	}
	for namespace, uids := range kept {
		if len(s.Namespaces) > 0 && !slices.Contains(s.Namespaces, namespace) {
			continue // nobody here can tell
		}
		for _, uid := range uids {
			if alive[uid] {
				continue
			}
			if err := s.Storage.Remove(namespace, uid); err != nil {
				return err
			}
			s.Log.Info("the files of an export that is gone were removed", "namespace", namespace, "uid", uid)
		}
	}
	return nil
}
