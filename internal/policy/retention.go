package policy

import (
	"fmt"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/period"
)

// Defaults of a policy's limits and notice.
const (
	defaultMaxPostponement = "P90D"
	defaultTolerance       = 10
	defaultShare           = 20
)

// NoticePeriod of a policy.
func NoticePeriod(n *v1alpha1.NoticePolicy) (period.Period, error) {
	if n == nil || n.Period == "" {
		return period.Parse(v1alpha1.DefaultNotice)
	}
	return period.Parse(n.Period)
}

// JudgeDecision decides whether a run can still be confirmed, postponed or cancelled.
func JudgeDecision(run *v1alpha1.DeletionRun) Verdict {
	switch {
	case run.Status.Phase.Finished() || run.Status.Phase == v1alpha1.PhaseFailed:
		return wait(0, v1alpha1.ReasonInvalidSpec, "the run has ended; it cannot be confirmed, postponed or cancelled any more")
	case run.Status.StartedAt != nil:
		return wait(0, v1alpha1.ReasonInvalidSpec,
			"the run has begun; it cannot be confirmed, postponed or cancelled any more: set spec.suspend of its RetentionPolicy to stop it before its next batch")
	}
	return proceed()
}

// JudgePostponement decides whether a run that was announced for a time may be postponed so far.
func JudgePostponement(n *v1alpha1.NoticePolicy, announced time.Time, p *v1alpha1.RunPostponement) Verdict {
	bound := defaultMaxPostponement
	if n != nil && n.MaxPostponement != "" {
		bound = n.MaxPostponement
	}
	latest, err := addPeriod(announced, bound)
	switch {
	case err != nil:
		return wait(0, v1alpha1.ReasonPeriodOutOfRange, "spec.notice.maxPostponement: %s", err.Error())
	case p.To.Time.Before(announced):
		return wait(0, v1alpha1.ReasonInvalidSpec, "spec.postponed.to is before %s, for which the run was announced; confirm it to begin at once", announced.UTC().Format(time.RFC3339))
	case p.To.After(latest):
		return wait(0, v1alpha1.ReasonPostponementTooLong, "spec.postponed.to is after %s, the latest that spec.notice.maxPostponement %s of the policy allows",
			latest.Format(time.RFC3339), bound)
	}
	return proceed()
}

// SweepFacts is what is known of a run of a rule when it is about to begin.
type SweepFacts struct {
	// Announced records, and those that are due now and all of the entities.
	Announced, Due, Total int64
	// Confirmed is how many a person confirmed; nil without a confirmation.
	Confirmed *int64
}

// SweepLimit is how many records a run may treat, and whether those that are due now are within it: what was announced with
// the policy's tolerance, its bounds, and what a person confirmed.
func SweepLimit(spec v1alpha1.RetentionPolicySpec, f SweepFacts) (int64, Verdict) {
	if f.Confirmed != nil {
		if f.Due > *f.Confirmed {
			return *f.Confirmed, confirmation(v1alpha1.ReasonConfirmationNeeded, f.Due, "%d records are due and %d are confirmed", f.Due, *f.Confirmed)
		}
		return *f.Confirmed, proceed()
	}
	tolerance := int64(defaultTolerance)
	if spec.Notice != nil && spec.Notice.TolerancePercent != nil {
		tolerance = int64(*spec.Notice.TolerancePercent)
	}
	limit := f.Announced + f.Announced*tolerance/100
	if f.Due > limit {
		return limit, confirmation(v1alpha1.ReasonMoreThanAnnounced, f.Due, "%d records are due where %d were announced, which is more than notice.tolerancePercent %d allows", f.Due, f.Announced, tolerance)
	}
	share := int64(defaultShare)
	if spec.Limits != nil {
		if most := spec.Limits.MaxRecordsPerRun; most > 0 {
			if f.Due > most {
				return most, confirmation(v1alpha1.ReasonRecordLimit, f.Due, "%d records are due, which is more than limits.maxRecordsPerRun %d", f.Due, most)
			}
			limit = min(limit, most)
		}
		if spec.Limits.MaxSharePercent > 0 {
			share = int64(spec.Limits.MaxSharePercent)
		}
	}
	if f.Due*100 > f.Total*share {
		return limit, confirmation(v1alpha1.ReasonShareLimit, f.Due, "%d of %d records are due, which is more than limits.maxSharePercent %d", f.Due, f.Total, share)
	}
	return limit, proceed()
}

func confirmation(reason string, due int64, format string, args ...any) Verdict {
	v := wait(MaxRequeue, reason, format, args...)
	v.Message += fmt.Sprintf("; nothing is deleted before somebody with the verb approve sets spec.confirmed.records to at least %d, or the rule is changed", due)
	return v
}

// Pace is how a sweep works on a store.
type Pace struct {
	MaxBatch int
	Target   time.Duration
	Duty     int
	MaxLag   time.Duration
}

// PaceOf is that of a policy.
func PaceOf(t *v1alpha1.SweepThrottle) Pace {
	p := Pace{MaxBatch: 5000, Target: 100 * time.Millisecond, Duty: 50, MaxLag: 10 * time.Second}
	if t == nil {
		return p
	}
	set := func(into *int, v int32) {
		if v > 0 {
			*into = int(v)
		}
	}
	set(&p.MaxBatch, t.BatchSize)
	set(&p.Duty, t.DutyPercent)
	if t.TargetMilliseconds > 0 {
		p.Target = time.Duration(t.TargetMilliseconds) * time.Millisecond
	}
	if t.MaxReplicaLagSeconds > 0 {
		p.MaxLag = time.Duration(t.MaxReplicaLagSeconds) * time.Second
	}
	return p
}

// minBatch keeps a sweep going on the slowest store.
const minBatch = 10

// First is the size of the first batch: small, because nobody knows how long one takes.
func (p Pace) First() int { return max(min(p.MaxBatch, 500), 1) }

// Next is the size of the next batch, after one of a size that took a time: it goes towards the target, at most doubling.
func (p Pace) Next(size int, took time.Duration) int {
	if took <= 0 {
		return min(2*size, p.MaxBatch)
	}
	ideal := float64(size) * float64(p.Target) / float64(took)
	next := int(min(max(ideal, float64(size)/4), 2*float64(size)))
	return min(max(next, min(minBatch, p.MaxBatch)), p.MaxBatch)
}

// Rest is how long to rest after a batch that took a time.
func (p Pace) Rest(took time.Duration) time.Duration {
	if p.Duty <= 0 || p.Duty >= 100 {
		return 0
	}
	return min(took*time.Duration(100-p.Duty)/time.Duration(p.Duty), 10*p.Target)
}

// JudgeAnnounced is the verdict on a run that waits for its time: what it waits for, and whether a confirmation will be needed.
func JudgeAnnounced(spec v1alpha1.RetentionPolicySpec, f SweepFacts, announced, scheduled time.Time, after time.Duration) Verdict {
	day := scheduled.UTC().Format(time.RFC3339)
	v := wait(after, v1alpha1.ReasonAnnounced, "%d of %d records fall due by then and go at %s; confirm, postpone or cancel the run until then", f.Due, f.Total, day)
	if scheduled.After(announced) {
		v = wait(after, v1alpha1.ReasonPostponed, "%d of %d records are postponed to %s", f.Due, f.Total, day)
	}
	if _, limit := SweepLimit(spec, f); limit.Action != Proceed {
		v.Reason, v.Message = v1alpha1.ReasonConfirmationNeeded, v.Message+": "+limit.Message
	}
	return v
}
