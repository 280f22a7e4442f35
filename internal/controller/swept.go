package controller

import (
	"strings"
	"sync"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/metrics"
	"github.com/lethe-dev/lethe/internal/retention"
	"github.com/lethe-dev/lethe/internal/state"
	"github.com/lethe-dev/lethe/internal/sweeper"
)

// swept counts what runs of rules treat, whoever does it: by how far a run was when it was last looked at. It remembers runs that
// go on; what a run did before this process first saw it is not counted.
type swept struct {
	mu   sync.Mutex
	runs map[string]map[sweptKind]int64 // by UID
}

type sweptKind struct{ entity, action string }

// count takes note of how far a run is; over forgets it.
func (s *swept) count(record *state.Run, counts []state.SweepCount, targets []*retention.Target, fresh, over bool) {
	now := map[sweptKind]int64{}
	for _, c := range counts {
		if c.Action != string(v1alpha1.RuleEraseSubject) { // their requests count what they treat
			now[sweptKind{entity: c.Entity, action: c.Action}] += c.Count
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before, known := s.runs[record.UID]
	if known || fresh {
		for k, n := range now {
			if n > before[k] {
				metrics.Treated.WithLabelValues(record.Namespace, storeOf(k, targets), whatOf(k.action), actionOf(k.action), metrics.CauseRule).Add(float64(n - before[k]))
			}
		}
	}
	if over {
		delete(s.runs, record.UID)
		return
	}
	if s.runs == nil {
		s.runs = map[string]map[sweptKind]int64{}
	}
	s.runs[record.UID] = now
}

func whatOf(action string) string {
	if action == sweeper.ActionFile {
		return "files"
	}
	return "records"
}

func actionOf(action string) string {
	if action == sweeper.ActionFile {
		return "delete"
	}
	return strings.ToLower(action)
}

// storeOf is the store that has an entity's records or, if they are all in one, its files.
func storeOf(k sweptKind, targets []*retention.Target) string {
	for _, t := range targets {
		if k.action == sweeper.ActionFile {
			if stores := t.Stores(); t.Map+"/"+t.Entity == k.entity && len(stores) == 1 {
				return stores[0]
			}
			continue
		}
		for _, step := range t.Steps() {
			if step.Entity == k.entity {
				return t.Store
			}
		}
	}
	return "several"
}
