package policy

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/planner"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestCheckSpec(t *testing.T) {
	for name, test := range map[string]struct {
		id, note string
		want     string
	}{
		"opaque id":               {id: "app-1", want: ""},
		"an address as id":        {id: "a@b.example", want: v1alpha1.ReasonSubjectIDRefused},
		"an address in the note":  {id: "app-1", note: "for a@b.example", want: v1alpha1.ReasonInvalidSpec},
		"no id":                   {want: v1alpha1.ReasonSubjectIDRefused},
		"an at sign in the note":  {id: "app-1", note: "met @ noon", want: ""},
		"a handle without domain": {id: "app-1", note: "by x@y", want: v1alpha1.ReasonInvalidSpec},
	} {
		t.Run(name, func(t *testing.T) {
			v := CheckSpec(v1alpha1.ErasureRequestSpec{Subject: v1alpha1.Subject{ID: test.id}, Note: test.note})
			if v.Reason != test.want {
				t.Errorf("reason %q, want %q", v.Reason, test.want)
			}
			if strings.Contains(v.Message, "b.example") {
				t.Error("the message repeats the address")
			}
		})
	}
}

func requests(name, grace, archive string, approval v1alpha1.ApprovalPolicy) v1alpha1.RetentionPolicy {
	return v1alpha1.RetentionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name, Generation: 3},
		Spec: v1alpha1.RetentionPolicySpec{Requests: &v1alpha1.RequestPolicy{GracePeriod: grace, ArchiveRetention: archive, Approval: approval}}}
}

func TestSelectPolicy(t *testing.T) {
	defaults := v1alpha1.PolicySnapshot{GracePeriod: "P60D", ArchiveRetention: "P30D"}
	for name, test := range map[string]struct {
		policies  []v1alpha1.RetentionPolicy
		admission bool
		want      v1alpha1.PolicySnapshot
		reason    string
	}{
		"none means the defaults":       {want: defaults},
		"one without requests too":      {policies: []v1alpha1.RetentionPolicy{{}}, want: defaults},
		"one":                           {policies: []v1alpha1.RetentionPolicy{requests("a", "P30D", "P180D", v1alpha1.ApprovalPolicy{Required: true})}, want: v1alpha1.PolicySnapshot{Name: "a", Generation: 3, GracePeriod: "P30D", ArchiveRetention: "P180D", ApprovalRequired: true}},
		"two are ambiguous":             {policies: []v1alpha1.RetentionPolicy{requests("a", "P30D", "P30D", v1alpha1.ApprovalPolicy{}), requests("b", "P30D", "P30D", v1alpha1.ApprovalPolicy{})}, want: defaults, reason: v1alpha1.ReasonAmbiguousPolicy},
		"too short":                     {policies: []v1alpha1.RetentionPolicy{requests("a", "P29D", "P30D", v1alpha1.ApprovalPolicy{})}, want: defaults, reason: v1alpha1.ReasonPolicyNotReady},
		"months have no fixed length":   {policies: []v1alpha1.RetentionPolicy{requests("a", "P2M", "P30D", v1alpha1.ApprovalPolicy{})}, want: defaults, reason: v1alpha1.ReasonPolicyNotReady},
		"four eyes without admission":   {policies: []v1alpha1.RetentionPolicy{requests("a", "P60D", "P30D", v1alpha1.ApprovalPolicy{FourEyes: true})}, want: defaults, reason: v1alpha1.ReasonPolicyNotReady},
		"four eyes with admission":      {policies: []v1alpha1.RetentionPolicy{requests("a", "P60D", "P30D", v1alpha1.ApprovalPolicy{FourEyes: true})}, admission: true, want: v1alpha1.PolicySnapshot{Name: "a", Generation: 3, GracePeriod: "P60D", ArchiveRetention: "P30D", ApprovalRequired: true, FourEyes: true}},
		"the longest and the shortest":  {policies: []v1alpha1.RetentionPolicy{requests("a", "P180D", "P30D", v1alpha1.ApprovalPolicy{})}, want: v1alpha1.PolicySnapshot{Name: "a", Generation: 3, GracePeriod: "P180D", ArchiveRetention: "P30D"}},
		"a day beyond the longest":      {policies: []v1alpha1.RetentionPolicy{requests("a", "P181D", "P30D", v1alpha1.ApprovalPolicy{})}, want: defaults, reason: v1alpha1.ReasonPolicyNotReady},
		"an archive retention too long": {policies: []v1alpha1.RetentionPolicy{requests("a", "P60D", "P200D", v1alpha1.ApprovalPolicy{})}, want: defaults, reason: v1alpha1.ReasonPolicyNotReady},
	} {
		t.Run(name, func(t *testing.T) {
			got, v := SelectPolicy(test.policies, test.admission)
			if v.Reason != test.reason || (v.Action == Proceed) != (test.reason == "") {
				t.Fatalf("verdict %+v, want reason %q", v, test.reason)
			}
			if got != test.want {
				t.Errorf("snapshot %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestSelectMaps(t *testing.T) {
	ready := func(name string, generation, observed int64, status metav1.ConditionStatus) v1alpha1.PersonalDataMap {
		m := v1alpha1.PersonalDataMap{ObjectMeta: metav1.ObjectMeta{Name: name, Generation: generation}}
		m.Spec.Scopes = []v1alpha1.Scope{{Name: "pool"}}
		m.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: status, ObservedGeneration: observed, Message: "why"}}
		return m
	}
	for name, test := range map[string]struct {
		maps   []v1alpha1.PersonalDataMap
		scope  string
		reason string
	}{
		"none":                      {reason: v1alpha1.ReasonNoMap},
		"all ready":                 {maps: []v1alpha1.PersonalDataMap{ready("b", 1, 1, "True"), ready("a", 2, 2, "True")}},
		"one not ready":             {maps: []v1alpha1.PersonalDataMap{ready("a", 1, 1, "True"), ready("b", 1, 1, "False")}, reason: v1alpha1.ReasonMapNotReady},
		"checked before it changed": {maps: []v1alpha1.PersonalDataMap{ready("a", 2, 1, "True")}, reason: v1alpha1.ReasonMapNotReady},
		"never checked":             {maps: []v1alpha1.PersonalDataMap{{}}, reason: v1alpha1.ReasonMapNotReady},
		"known scope":               {maps: []v1alpha1.PersonalDataMap{ready("a", 1, 1, "True")}, scope: "pool"},
		"unknown scope":             {maps: []v1alpha1.PersonalDataMap{ready("a", 1, 1, "True")}, scope: "pond", reason: v1alpha1.ReasonScopeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			maps, v := SelectMaps(test.maps, test.scope)
			if v.Reason != test.reason {
				t.Fatalf("reason %q, want %q", v.Reason, test.reason)
			}
			if test.reason == "" && len(maps) != len(test.maps) {
				t.Errorf("%d maps, want %d", len(maps), len(test.maps))
			}
		})
	}
}

func TestJudgeSubject(t *testing.T) {
	for name, test := range map[string]struct {
		in   planner.Assessment
		want string
	}{
		"found":                      {planner.Assessment{RootRows: 1}, ""},
		"nobody":                     {planner.Assessment{NotFound: true}, v1alpha1.ReasonSubjectNotFound},
		"two people":                 {planner.Assessment{Ambiguous: []string{"m/e"}}, v1alpha1.ReasonSubjectAmbiguous},
		"active":                     {planner.Assessment{Active: []string{"m/e"}}, v1alpha1.ReasonProcessActive},
		"held":                       {planner.Assessment{Held: []string{"h"}}, v1alpha1.ReasonLegalHold},
		"ambiguous before active":    {planner.Assessment{Ambiguous: []string{"m/e"}, Active: []string{"m/e"}}, v1alpha1.ReasonSubjectAmbiguous},
		"an active process and held": {planner.Assessment{Active: []string{"m/e"}, Held: []string{"h"}}, v1alpha1.ReasonProcessActive},
	} {
		t.Run(name, func(t *testing.T) {
			if v := JudgeSubject(test.in); v.Reason != test.want {
				t.Errorf("reason %q, want %q", v.Reason, test.want)
			}
		})
	}
}

func TestJudgeApproval(t *testing.T) {
	good := Approval{Given: true, Verified: true, RequesterKnown: true}
	given := Approval{Given: true}
	for _, test := range []struct {
		a                                  Approval
		policy, active, fourEyes, proceeds bool
	}{
		{Approval{}, false, false, false, true}, {given, true, true, false, true}, {given, false, false, false, true},
		{Approval{}, true, false, false, false}, {Approval{}, false, true, false, false}, {Approval{}, true, true, false, false},
		{good, true, false, true, true}, {Approval{}, true, false, true, false},
		{given, true, false, true, false},                                                                          // nobody saw who approved
		{Approval{Given: true, Verified: true}, true, false, true, false},                                          // nobody saw who asked
		{Approval{Given: true, Verified: true, RequesterKnown: true, ByRequester: true}, true, false, true, false}, // one person
		{Approval{Given: true, Verified: true, RequesterKnown: true, ByRequester: true}, true, false, false, true},
	} {
		if v := JudgeApproval(test.a, test.policy, test.active, test.fourEyes); (v.Action == Proceed) != test.proceeds {
			t.Errorf("%+v: %s", test, v.Action)
		}
	}
}

func TestUnwiseChange(t *testing.T) {
	spec := func(grace string, a v1alpha1.ApprovalPolicy) v1alpha1.RetentionPolicySpec {
		return v1alpha1.RetentionPolicySpec{Requests: &v1alpha1.RequestPolicy{GracePeriod: grace, Approval: a}}
	}
	none, required, four := v1alpha1.ApprovalPolicy{}, v1alpha1.ApprovalPolicy{Required: true}, v1alpha1.ApprovalPolicy{FourEyes: true}
	for name, test := range map[string]struct {
		old, now v1alpha1.RetentionPolicySpec
		want     []string
	}{
		"nothing":                  {spec("P60D", none), spec("P60D", none), nil},
		"longer":                   {spec("P60D", none), spec("P90D", none), nil},
		"shorter":                  {spec("P100D", none), spec("P60D", none), []string{"shortened from P100D to P60D"}},
		"no approval":              {spec("P60D", required), spec("P60D", none), []string{"not demanded any more"}},
		"two eyes":                 {spec("P60D", four), spec("P60D", required), []string{"fourEyes is given up"}},
		"four eyes":                {spec("P60D", required), spec("P60D", four), nil},
		"both":                     {spec("P60D", four), spec("P30D", none), []string{"shortened", "not demanded any more"}},
		"removed":                  {spec("P60D", none), v1alpha1.RetentionPolicySpec{}, []string{"spec.requests is removed"}},
		"there for the first time": {v1alpha1.RetentionPolicySpec{}, spec("P30D", none), nil},
	} {
		got := UnwiseChange(test.old, test.now)
		if len(got) != len(test.want) {
			t.Errorf("%s: %q", name, got)
			continue
		}
		for i := range got {
			if !strings.Contains(got[i], test.want[i]) {
				t.Errorf("%s: %q, want %q", name, got[i], test.want[i])
			}
		}
	}
}

func TestDueDate(t *testing.T) {
	for from, want := range map[string]string{
		"2026-01-31T10:00:00Z": "2026-02-28T10:00:00Z", "2028-01-31T10:00:00Z": "2028-02-29T10:00:00Z",
		"2026-03-15T00:00:00.5Z": "2026-04-15T00:00:01Z", "2026-12-31T23:59:59Z": "2027-01-31T23:59:59Z",
	} {
		received, err := time.Parse(time.RFC3339Nano, from)
		if err != nil {
			t.Fatal(err)
		}
		due, err := DueDate(received)
		if err != nil || due.Format(time.RFC3339) != want {
			t.Errorf("%s: %s, want %s (%v)", from, due.Format(time.RFC3339), want, err)
		}
	}
}

func TestRisk(t *testing.T) {
	due := noon.AddDate(0, 1, 0)
	at := func(t time.Time) *time.Time { return &t }
	for name, test := range map[string]struct {
		now       time.Time
		scheduled *time.Time
		failing   bool
		want      string
		risk      bool
	}{
		"in time":            {noon, at(noon.AddDate(0, 0, 20)), false, v1alpha1.ReasonReady, false},
		"scheduled after it": {noon, at(noon.AddDate(0, 0, 60)), false, v1alpha1.ReasonScheduledAfterDueDate, true},
		"past it":            {due.Add(time.Second), nil, false, v1alpha1.ReasonOverdue, true},
		"waiting, far":       {noon, nil, false, v1alpha1.ReasonReady, false},
		"waiting, close":     {due.AddDate(0, 0, -6), nil, false, v1alpha1.ReasonRetrying, true},
		"begun, close":       {due.AddDate(0, 0, -6), at(noon), false, v1alpha1.ReasonRetrying, true},
		"failing":            {noon, at(noon), true, v1alpha1.ReasonRetrying, true},
	} {
		t.Run(name, func(t *testing.T) {
			if reason, _, risk := Risk(test.now, due, test.scheduled, test.failing); reason != test.want || risk != test.risk {
				t.Errorf("%s %t, want %s %t", reason, risk, test.want, test.risk)
			}
		})
	}
}

// TestNeverEarly: whatever the clocks say, nothing proceeds unless both have passed the time and they agree.
func TestNeverEarly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := noon.Add(time.Duration(rapid.Int64Range(-1e15, 1e15).Draw(t, "at")))
		process := at.Add(time.Duration(rapid.Int64Range(-2e11, 2e11).Draw(t, "process")))
		witness := at.Add(time.Duration(rapid.Int64Range(-2e11, 2e11).Draw(t, "witness")))
		v := Reached(at, process, witness)
		both := !process.Before(at) && !witness.Before(at)
		agree := process.Sub(witness).Abs() <= MaxClockDisagreement
		if (v.Action == Proceed) != (both && agree) {
			t.Fatalf("both passed %t, agree %t: %s", both, agree, v.Action)
		}
		if v.Action == Wait && (v.After <= 0 || v.After > MaxRequeue) {
			t.Fatalf("looks again after %s", v.After)
		}
	})
}

// TestScheduleIsNotBeforeTheGracePeriod: rounding never makes a schedule earlier.
func TestScheduleIsNotBeforeTheGracePeriod(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		confirmed := noon.Add(time.Duration(rapid.Int64Range(0, 1e18).Draw(t, "confirmed")))
		s, err := Schedule(confirmed, "P60D", v1alpha1.TimingAfterGracePeriod)
		if err != nil || s.Before(confirmed.UTC().AddDate(0, 0, 60)) || s.Nanosecond() != 0 {
			t.Fatalf("%s for %s (%v)", s, confirmed, err)
		}
		if s, err = Schedule(confirmed, "P60D", v1alpha1.TimingImmediate); err != nil || s.Before(confirmed) {
			t.Fatalf("%s for %s (%v)", s, confirmed, err)
		}
	})
}
