package controller

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// Gauges. Names of objects and places are their only labels.
var (
	mapDrift = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "lethe_personaldatamap_drift",
		Help: "Tables, columns and foreign keys that are new, changed or gone since the map was written.",
	}, []string{"namespace", "name"})
	mapUnknownColumns = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "lethe_personaldatamap_unknown_columns",
		Help: "Columns of mapped tables whose records stay and that the map neither names nor ignores.",
	}, []string{"namespace", "name"})
	ledgerAnchored = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "lethe_ledger_anchored_timestamp_seconds",
		Help: "When the newest checkpoints of all logs were last kept at a place outside the ledger.",
	}, []string{"place"})
)

func init() { metrics.Registry.MustRegister(mapDrift, mapUnknownColumns, ledgerAnchored) }

// forgetMap removes the gauges of a map that is gone.
func forgetMap(namespace, name string) {
	mapDrift.DeleteLabelValues(namespace, name)
	mapUnknownColumns.DeleteLabelValues(namespace, name)
}
