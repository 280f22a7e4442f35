package observe

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/metrics"
)

var (
	descEntries = metrics.Describe(metrics.TypeGauge, "lethe_ledger_entries",
		"Entries of the namespace's ledger, which is the size of its newest checkpoint.", "namespace")
	descCheckpoint = metrics.Describe(metrics.TypeGauge, "lethe_ledger_checkpoint_timestamp_seconds",
		"When the newest checkpoint of the namespace's ledger was made, with its last entry.", "namespace")
)

// scrapePatience bounds what a scrape waits for the ledger.
const scrapePatience = 5 * time.Second

// ledgers shows the size of each log: two look-ups for a log that has grown since it was last asked, one for another.
type ledgers struct {
	log ledger.Log

	mu   sync.Mutex
	last map[string]lastEntry
}

type lastEntry struct {
	size uint64
	at   time.Time
}

func newLedgers(log ledger.Log) *ledgers { return &ledgers{log: log, last: map[string]lastEntry{}} }

// Describe implements prometheus.Collector.
func (l *ledgers) Describe(ch chan<- *prometheus.Desc) {
	ch <- descEntries
	ch <- descCheckpoint
}

// Collect implements prometheus.Collector. What cannot be read is left out.
func (l *ledgers) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapePatience)
	defer cancel()
	origins, err := l.log.Origins(ctx)
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, namespace := range origins {
		c, err := l.log.Checkpoint(ctx, namespace)
		if err != nil || c.Size == 0 {
			continue
		}
		ch <- prometheus.MustNewConstMetric(descEntries, prometheus.GaugeValue, float64(c.Size), namespace)
		known := l.last[namespace]
		if known.size != c.Size {
			page, err := l.log.Entries(ctx, namespace, c.Size-1, 1)
			if err != nil || len(page) != 1 {
				continue
			}
			known = lastEntry{size: c.Size, at: page[0].Entry.Time}
			l.last[namespace] = known
		}
		ch <- prometheus.MustNewConstMetric(descCheckpoint, prometheus.GaugeValue, float64(known.at.Unix()), namespace)
	}
}
