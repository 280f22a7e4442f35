// Package metrics names what Lethe measures. Labels are names of namespaces, stores, maps and policies, and words of a fixed
// list: never a request, never a subject. docs/reference/metrics.md lists them, and a test holds it against Definitions.
package metrics

import (
	"errors"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Types of metrics.
const (
	TypeGauge     = "gauge"
	TypeCounter   = "counter"
	TypeHistogram = "histogram"
)

// Definition is the name of a metric with what belongs to it.
type Definition struct {
	Name, Type, Help string
	Labels           []string
}

// Before the first of them is made, which happens in the order of the file.
var (
	definitions []Definition
	collectors  []prometheus.Collector
)

// Definitions are all metrics of Lethe, by name.
func Definitions() []Definition {
	return slices.SortedFunc(slices.Values(definitions), func(a, b Definition) int { return strings.Compare(a.Name, b.Name) })
}

// Register adds what is counted in this package to a registry. A second operator in one process, which only tests have, finds it
// there.
func Register(r prometheus.Registerer) error {
	var errs []error
	for _, c := range collectors {
		if err := r.Register(c); err != nil && !errors.As(err, new(prometheus.AlreadyRegisteredError)) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Describe defines a metric that a collector makes when it is asked.
func Describe(kind, name, help string, labels ...string) *prometheus.Desc {
	definitions = append(definitions, Definition{Name: name, Type: kind, Help: help, Labels: labels})
	return prometheus.NewDesc(name, help, labels, nil)
}

func gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	definitions = append(definitions, Definition{Name: name, Type: TypeGauge, Help: help, Labels: labels})
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	collectors = append(collectors, g)
	return g
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	definitions = append(definitions, Definition{Name: name, Type: TypeCounter, Help: help, Labels: labels})
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	collectors = append(collectors, c)
	return c
}

func histogram(buckets []float64, name, help string, labels ...string) *prometheus.HistogramVec {
	definitions = append(definitions, Definition{Name: name, Type: TypeHistogram, Help: help, Labels: labels})
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	collectors = append(collectors, h)
	return h
}
