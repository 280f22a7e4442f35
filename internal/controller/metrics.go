package controller

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// Gauges of the maps. Names of objects are their only labels.
var (
	mapDrift = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "lethe_personaldatamap_drift",
		Help: "Tables, columns and foreign keys that are new, changed or gone since the map was written.",
	}, []string{"namespace", "name"})
	mapUnknownColumns = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "lethe_personaldatamap_unknown_columns",
		Help: "Columns of mapped tables whose records stay and that the map neither names nor ignores.",
	}, []string{"namespace", "name"})
)

func init() { metrics.Registry.MustRegister(mapDrift, mapUnknownColumns) }

// forgetMap removes the gauges of a map that is gone.
func forgetMap(namespace, name string) {
	mapDrift.DeleteLabelValues(namespace, name)
	mapUnknownColumns.DeleteLabelValues(namespace, name)
}
