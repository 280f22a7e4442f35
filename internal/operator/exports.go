package operator

import (
	"fmt"
	"path/filepath"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/lethe-dev/lethe/internal/controller"
	"github.com/lethe-dev/lethe/internal/export"
	"github.com/lethe-dev/lethe/internal/journal"
	"github.com/lethe-dev/lethe/internal/stamp"
	"github.com/lethe-dev/lethe/internal/stores"
)

// openStorage opens the folder of exports; nil where there is none.
func openStorage(o Options) (*export.Storage, error) {
	folder := o.ExportPath
	if folder == "" && o.LedgerURLFile == "" {
		folder = filepath.Join(filepath.Dir(o.LedgerPath), "exports")
	}
	if folder == "" {
		return nil, nil
	}
	return export.OpenStorage(folder, o.ExportMaxBytes)
}

// exportParts are what exports are made with.
type exportParts struct {
	storage    *export.Storage
	pool       *stores.Pool
	sealer     *stamp.Sealer
	entries    *journal.Journal
	ledgerName string
}

// setupExports adds the controller of exports.
func setupExports(mgr ctrl.Manager, o Options, vault *Vault, p exportParts) error {
	err := (&controller.ComplianceExportReconciler{Client: mgr.GetClient(), Journal: p.entries, Projection: vault.Index, Storage: p.storage, Stores: p.pool,
		Clock: o.Clock, LedgerName: p.ledgerName, Recorder: mgr.GetEventRecorder("lethe"), Stamps: p.sealer,
		Admission: verifiesApprovers(o.Admission)}).SetupWithManager(mgr)
	if err != nil {
		return fmt.Errorf("exports: %w", err)
	}
	return nil
}
