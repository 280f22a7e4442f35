package policy

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

func TestSweepLimit(t *testing.T) {
	for name, test := range map[string]struct {
		spec   v1alpha1.RetentionPolicySpec
		facts  SweepFacts
		limit  int64
		reason string
	}{
		"what was announced, and a tenth":       {facts: SweepFacts{Announced: 100, Due: 110, Total: 1000}, limit: 110},
		"more than a tenth":                     {facts: SweepFacts{Announced: 100, Due: 111, Total: 1000}, limit: 110, reason: v1alpha1.ReasonMoreThanAnnounced},
		"no tolerance":                          {spec: v1alpha1.RetentionPolicySpec{Notice: &v1alpha1.NoticePolicy{TolerancePercent: ptr.To[int32](0)}}, facts: SweepFacts{Announced: 100, Due: 101, Total: 1000}, limit: 100, reason: v1alpha1.ReasonMoreThanAnnounced},
		"a fifth of the table":                  {facts: SweepFacts{Announced: 200, Due: 200, Total: 1000}, limit: 220},
		"more than a fifth":                     {facts: SweepFacts{Announced: 201, Due: 201, Total: 1000}, limit: 221, reason: v1alpha1.ReasonShareLimit},
		"more than a run may":                   {spec: v1alpha1.RetentionPolicySpec{Limits: &v1alpha1.SweepLimits{MaxRecordsPerRun: 50, MaxSharePercent: 100}}, facts: SweepFacts{Announced: 60, Due: 60, Total: 60}, limit: 50, reason: v1alpha1.ReasonRecordLimit},
		"a run may more than was announced":     {spec: v1alpha1.RetentionPolicySpec{Limits: &v1alpha1.SweepLimits{MaxRecordsPerRun: 50, MaxSharePercent: 100}}, facts: SweepFacts{Announced: 10, Due: 10, Total: 10}, limit: 11},
		"confirmed beyond all bounds":           {facts: SweepFacts{Announced: 1, Due: 900, Total: 1000, Confirmed: ptr.To[int64](900)}, limit: 900},
		"fewer confirmed than are due":          {facts: SweepFacts{Announced: 900, Due: 900, Total: 1000, Confirmed: ptr.To[int64](899)}, limit: 899, reason: v1alpha1.ReasonConfirmationNeeded},
		"none announced, none due, empty table": {facts: SweepFacts{}},
	} {
		t.Run(name, func(t *testing.T) {
			limit, v := SweepLimit(test.spec, test.facts)
			if limit != test.limit || v.Reason != test.reason {
				t.Errorf("limit %d, reason %q, want %d, %q", limit, v.Reason, test.limit, test.reason)
			}
		})
	}
}

func TestJudgePostponement(t *testing.T) {
	until := func(days int) *v1alpha1.RunPostponement {
		return &v1alpha1.RunPostponement{To: metav1.NewTime(noon.AddDate(0, 0, days))}
	}
	for name, test := range map[string]struct {
		notice *v1alpha1.NoticePolicy
		to     *v1alpha1.RunPostponement
		want   string
	}{
		"to the very bound":  {to: until(90)},
		"a day beyond":       {to: until(91), want: v1alpha1.ReasonPostponementTooLong},
		"before its time":    {to: until(-1), want: v1alpha1.ReasonInvalidSpec},
		"a bound of its own": {notice: &v1alpha1.NoticePolicy{MaxPostponement: "P10D"}, to: until(11), want: v1alpha1.ReasonPostponementTooLong},
	} {
		t.Run(name, func(t *testing.T) {
			if v := JudgePostponement(test.notice, noon, test.to); v.Reason != test.want {
				t.Errorf("reason %q, want %q", v.Reason, test.want)
			}
		})
	}
}

// TestPaceFindsTheTarget: on a store that takes a time for each record, batches come to take the target, and never leave the bounds.
func TestPaceFindsTheTarget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perRecord := time.Duration(rapid.Int64Range(int64(5*time.Microsecond), int64(5*time.Millisecond)).Draw(t, "per record"))
		p := PaceOf(nil)
		size := p.First()
		for range 30 {
			size = p.Next(size, time.Duration(size)*perRecord)
			if size < minBatch || size > p.MaxBatch {
				t.Fatalf("a batch of %d records", size)
			}
		}
		took := time.Duration(size) * perRecord
		if size < p.MaxBatch && size > minBatch && (took < p.Target*9/10 || took > p.Target*11/10) {
			t.Fatalf("batches of %d records take %s, not %s", size, took, p.Target)
		}
		if rest := p.Rest(took); rest > 10*p.Target || rest < took/2 && took < p.Target {
			t.Fatalf("rests %s after %s", rest, took)
		}
	})
}
