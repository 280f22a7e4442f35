package controller

import (
	"context"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/retention"
	"github.com/lethe-dev/lethe/internal/sweeper"
)

// RuleCounts tells how much falls due by the rules of a policy, also of one that is only about to be written.
type RuleCounts struct {
	Client  client.Reader
	Sweeper *sweeper.Sweeper
	Clock   clock.PassiveClock
}

// Of counts, by the names of the rules, the records that fall due within the notice period. Rules with a problem are left out.
func (r *RuleCounts) Of(ctx context.Context, p *v1alpha1.RetentionPolicy) (map[string]int64, []retention.Problem, error) {
	rules, problems, err := compileRules(ctx, r.Client, p)
	if err != nil || rules == nil {
		return nil, problems, err
	}
	notice, err := policy.NoticePeriod(p.Spec.Notice)
	if err != nil {
		return nil, problems, err
	}
	until := policy.CeilSecond(notice.AddTo(r.Clock.Now().UTC()))
	counts := map[string]int64{}
	for _, t := range rules.Targets {
		count, err := r.Sweeper.Count(ctx, p.Namespace, t, time.Time{}, until)
		if err != nil {
			return counts, problems, err
		}
		counts[t.Rule.Name] += count.Due
	}
	return counts, problems, nil
}
