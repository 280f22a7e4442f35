package executor

import (
	"strings"

	"github.com/lethe-dev/lethe/internal/metrics"
	"github.com/lethe-dev/lethe/internal/planner"
)

// measure counts what a step has treated.
func (r *run) measure(step planner.Step) {
	cause, ops := metrics.CauseRequest, step.Operations
	if r.task.ResidueID != "" {
		cause, ops = metrics.CauseResidue, r.present(step).Operations
	}
	what := "records"
	if !step.Records() {
		what = strings.ToLower(string(step.Kind))
	}
	for i, op := range ops {
		if len(op.Keys) == 0 {
			continue
		}
		action := "delete"
		if i < len(step.Purposes) && step.Purposes[i] != planner.PurposeFile {
			action = strings.ToLower(string(step.Purposes[i]))
		}
		metrics.Treated.WithLabelValues(r.task.Namespace, step.Store, what, action, cause).Add(float64(len(op.Keys)))
	}
}
