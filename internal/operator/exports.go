package operator

import (
	"context"
	"fmt"
	"path/filepath"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/internal/controller"
	"github.com/lethe-dev/lethe/internal/export"
	"github.com/lethe-dev/lethe/internal/journal"
	"github.com/lethe-dev/lethe/internal/keys"
	"github.com/lethe-dev/lethe/internal/selfsigned"
	endpoint "github.com/lethe-dev/lethe/internal/serve"
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
	direct     client.Client
	keys       keys.Store
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
	if p.storage != nil {
		if err := mgr.Add(&controller.ExportSweep{Reader: mgr.GetAPIReader(), Storage: p.storage, Namespaces: o.Namespaces, Log: o.Log.WithName("exports")}); err != nil {
			return err
		}
	}
	return setupEndpoint(mgr, o, p)
}

// servingCertificate is the ConfigMap in the operator's namespace with what clients of the endpoint are to trust, and
// servingName the Service that the certificate is for.
const (
	servingCertificate    = "lethe-serving-certificate"
	servingCertificateKey = "ca.crt"
	servingName           = "lethe-exports"
)

// setupEndpoint adds the endpoint that hands out exports, if it is wanted.
func setupEndpoint(mgr ctrl.Manager, o Options, p exportParts) error {
	if o.ServeAddress == "" {
		return nil
	}
	// Certificates and time-outs go by the time of day, whatever the operator's clock is told to say.
	server, err := endpoint.New(endpoint.Options{Address: o.ServeAddress, CertificateFolder: o.ServeCertificates, Clock: clock.RealClock{}, Namespace: o.Namespace,
		Names: selfsigned.Names{DNS: []string{servingName + "." + o.Namespace + ".svc", "localhost"}}, Client: mgr.GetClient(), Reader: mgr.GetClient(),
		Journal: p.entries, Keys: p.keys, Storage: p.storage, Stores: p.pool, Log: o.Log.WithName("exports"),
		Publish: func(ctx context.Context, bundle []byte) error {
			return publish(ctx, p.direct, o.Namespace, servingCertificate, map[string]string{servingCertificateKey: string(bundle)},
				func(map[string]string) error { return nil })
		}})
	if err != nil {
		return err
	}
	server.Listening = o.ServeListening
	return mgr.Add(server)
}
