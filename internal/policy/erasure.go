// Package policy decides what happens to an erasure request: pure functions from facts to a verdict with its reason.
// It does no I/O and never reads the clock.
package policy

import (
	"fmt"
	"regexp"
	"sort"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/period"
	"github.com/lethe-dev/lethe/internal/planner"
)

const (
	// MaxRequeue bounds every RequeueAfter: it is a hint, the schedule is in the state store.
	MaxRequeue = time.Hour
	// MaxClockDisagreement between two clocks before nothing begins.
	MaxClockDisagreement = 60 * time.Second
	// responsePeriod is one month from receipt (GDPR Art. 12(3)).
	responsePeriod = "P1M"
	// riskWindow before the due date in which an unfinished request raises an alert.
	riskWindow = 7 * 24 * time.Hour
)

// Action that a verdict demands.
type Action string

// The actions.
const (
	Proceed Action = "Proceed"
	Wait    Action = "Wait"
	Cancel  Action = "Cancel"
)

// Verdict is a decision with its public reason.
type Verdict struct {
	Action  Action
	Reason  string
	Message string
	// After is when to look again; zero where an event will tell.
	After time.Duration
}

func proceed() Verdict { return Verdict{Action: Proceed} }

func wait(after time.Duration, reason, format string, args ...any) Verdict {
	return Verdict{Action: Wait, Reason: reason, Message: fmt.Sprintf(format, args...), After: after}
}

var emailLike = regexp.MustCompile(`[^@\s]+@[^@\s]+`)

// CheckSpec repeats what the API refuses, for objects that were stored before it did or without it.
func CheckSpec(spec v1alpha1.ErasureRequestSpec) Verdict {
	if !OpaqueID(spec.Subject.ID) {
		return wait(0, v1alpha1.ReasonSubjectIDRefused,
			"spec.subject.id must be an opaque id of the application, not an e-mail address; delete this request and create another one, with the address in a Secret of type %s", v1alpha1.IdentitiesSecretType)
	}
	if emailLike.MatchString(spec.Note) {
		return wait(0, v1alpha1.ReasonInvalidSpec, "spec.note must not hold an e-mail address; remove it")
	}
	return proceed()
}

// OpaqueID tells whether a request may name a person by an id, as the API says it.
func OpaqueID(id string) bool {
	return id != "" && len([]rune(id)) <= 253 && utf8.ValidString(id) && !strings.ContainsFunc(id, func(r rune) bool {
		return r == '@' || unicode.IsSpace(r) || unicode.IsControl(r)
	})
}

// SelectPolicy finds the policy for the requests of a namespace: none means the defaults, more than one is ambiguous.
func SelectPolicy(policies []v1alpha1.RetentionPolicy, admission bool) (v1alpha1.PolicySnapshot, Verdict) {
	snapshot := v1alpha1.PolicySnapshot{GracePeriod: v1alpha1.DefaultGracePeriod, ArchiveRetention: v1alpha1.DefaultArchiveRetention}
	var names []string
	var found *v1alpha1.RetentionPolicy
	for i := range policies {
		if policies[i].Spec.Requests != nil && policies[i].DeletionTimestamp.IsZero() {
			names, found = append(names, policies[i].Name), &policies[i]
		}
	}
	switch len(names) {
	case 0:
		return snapshot, proceed()
	case 1:
	default:
		sort.Strings(names)
		return snapshot, wait(MaxRequeue, v1alpha1.ReasonAmbiguousPolicy,
			"RetentionPolicies %s all have spec.requests; leave it in one of them", strings.Join(names, ", "))
	}
	if problem := CheckPolicy(found.Spec, admission); problem.Action != Proceed {
		return snapshot, wait(MaxRequeue, v1alpha1.ReasonPolicyNotReady, "RetentionPolicy %s: %s", found.Name, problem.Message)
	}
	r := found.Spec.Requests
	snapshot.Name, snapshot.Generation = found.Name, found.Generation
	snapshot.GracePeriod, snapshot.ArchiveRetention = r.GracePeriod, r.ArchiveRetention
	snapshot.ApprovalRequired, snapshot.FourEyes = r.Approval.Required || r.Approval.FourEyes, r.Approval.FourEyes
	return snapshot, proceed()
}

// CheckPolicy tells whether a policy can be applied.
func CheckPolicy(spec v1alpha1.RetentionPolicySpec, admission bool) Verdict {
	if spec.Requests == nil {
		return proceed()
	}
	for _, p := range []struct{ field, value string }{
		{"gracePeriod", spec.Requests.GracePeriod}, {"archiveRetention", spec.Requests.ArchiveRetention},
	} {
		if err := checkDays(p.value, 30, 180); err != nil {
			return wait(0, v1alpha1.ReasonPeriodOutOfRange, "spec.requests.%s: %s", p.field, err.Error())
		}
	}
	if spec.Requests.Approval.FourEyes && !admission {
		return wait(0, v1alpha1.ReasonAdmissionRequired,
			"spec.requests.approval.fourEyes needs admission, which verifies who asked and who approved; run the operator with --admission cluster or loopback, or set fourEyes to false")
	}
	return proceed()
}

// UnwiseChange says what is legal in a change of a policy and makes erasures less careful.
func UnwiseChange(old, now v1alpha1.RetentionPolicySpec) []string {
	if old.Requests == nil {
		return nil
	}
	const newOnly = "; it applies to requests that are confirmed from now on"
	if now.Requests == nil {
		return []string{"spec.requests is removed: the defaults apply, and no approval is demanded" + newOnly}
	}
	var out []string
	before, err1 := period.ParsePeriod(old.Requests.GracePeriod)
	after, err2 := period.ParsePeriod(now.Requests.GracePeriod)
	if err1 == nil && err2 == nil && after.Weeks*7+after.Days < before.Weeks*7+before.Days {
		out = append(out, fmt.Sprintf("spec.requests.gracePeriod is shortened from %s to %s: less time to cancel", old.Requests.GracePeriod, now.Requests.GracePeriod)+newOnly)
	}
	demanded := func(a v1alpha1.ApprovalPolicy) bool { return a.Required || a.FourEyes }
	if demanded(old.Requests.Approval) && !demanded(now.Requests.Approval) {
		out = append(out, "spec.requests.approval is not demanded any more: requests that wait for it go on")
	} else if old.Requests.Approval.FourEyes && !now.Requests.Approval.FourEyes {
		out = append(out, "spec.requests.approval.fourEyes is given up: who asks may approve")
	}
	return out
}

func checkDays(value string, least, most int) error {
	p, err := period.ParsePeriod(value)
	if err != nil {
		return err
	}
	if p.Years != 0 || p.Months != 0 {
		return fmt.Errorf("must be in days, for example P60D")
	}
	if days := p.Weeks*7 + p.Days; days < least || days > most {
		return fmt.Errorf("must be between P%dD and P%dD", least, most)
	}
	return nil
}

// SelectMaps pins the maps that apply: all of the namespace, each of them Ready.
func SelectMaps(maps []v1alpha1.PersonalDataMap, scope string) ([]planner.MapSource, Verdict) {
	var sources []planner.MapSource
	for i := range maps {
		m := &maps[i]
		if !m.DeletionTimestamp.IsZero() {
			return nil, wait(MaxRequeue, v1alpha1.ReasonMapNotReady, "PersonalDataMap %s is being deleted", m.Name)
		}
		if ready, message := mapReady(m); !ready {
			return nil, wait(MaxRequeue, v1alpha1.ReasonMapNotReady, "PersonalDataMap %s is not Ready: %s", m.Name, message)
		}
		sources = append(sources, planner.MapSource{Name: m.Name, UID: string(m.UID), Generation: m.Generation, Spec: m.Spec})
	}
	if len(sources) == 0 {
		return nil, wait(MaxRequeue, v1alpha1.ReasonNoMap, "the namespace has no PersonalDataMap: nothing says where the subject's data is")
	}
	sort.Slice(sources, func(i, j int) bool { return sources[i].Name < sources[j].Name })
	if scope != "" && !anyScope(sources, scope) {
		return nil, wait(MaxRequeue, v1alpha1.ReasonScopeUnknown, "no PersonalDataMap of the namespace has the scope %s", scope)
	}
	return sources, proceed()
}

func mapReady(m *v1alpha1.PersonalDataMap) (bool, string) {
	for _, c := range m.Status.Conditions {
		if c.Type == v1alpha1.ConditionReady && c.ObservedGeneration == m.Generation {
			return c.Status == "True", c.Message
		}
	}
	return false, "it has not been checked yet"
}

func anyScope(maps []planner.MapSource, scope string) bool {
	for _, m := range maps {
		for _, s := range m.Spec.Scopes {
			if s.Name == scope {
				return true
			}
		}
	}
	return false
}

// CheckIdentities tells whether a Secret may be used by the request: it must have the type and name this one request.
func CheckIdentities(secretName, secretType, namedRequest, request string) Verdict {
	if secretType != v1alpha1.IdentitiesSecretType {
		return wait(time.Minute, v1alpha1.ReasonIdentitiesRefused,
			"Secret %s has not the type %s: it is refused and its values stay unused", secretName, v1alpha1.IdentitiesSecretType)
	}
	if namedRequest != request {
		return wait(time.Minute, v1alpha1.ReasonIdentitiesRefused,
			"Secret %s does not name this request in the annotation %s: it is refused and its values stay unused", secretName, v1alpha1.AnnotationRequest)
	}
	return proceed()
}

// IdentitiesMissing is the verdict where the Secret is not there.
func IdentitiesMissing(secretName string) Verdict {
	return wait(15*time.Second, v1alpha1.ReasonIdentitiesMissing,
		"spec.subject.identitiesSecretRef: there is no Secret %s in this namespace; create it", secretName)
}

// IdentitiesIncomplete is the verdict where the maps look by identities that the request says nothing about.
func IdentitiesIncomplete(missing []string) Verdict {
	return wait(MaxRequeue, v1alpha1.ReasonIdentitiesMissing,
		"the maps find records by identities that the request does not give: %s; add them to the Secret of spec.subject.identitiesSecretRef, with an empty value where the person has none", strings.Join(missing, ", "))
}

// JudgeSubject decides on what the stores say of the subject. An active process is noted: when it ends, approval is
// needed (seenActive).
func JudgeSubject(a planner.Assessment) Verdict {
	switch {
	case a.NotFound:
		return wait(MaxRequeue, v1alpha1.ReasonSubjectNotFound,
			"no record of a root entity matches the subject; check spec.subject.id and the identities, or cancel the request")
	case len(a.Ambiguous) > 0:
		return wait(MaxRequeue, v1alpha1.ReasonSubjectAmbiguous,
			"more than one record of %s matches the subject, and its map says rows: One; give identities that name one person", strings.Join(a.Ambiguous, ", "))
	case len(a.Active) > 0:
		return wait(MaxRequeue, v1alpha1.ReasonProcessActive,
			"the request is noted; a process of the subject is still active in %s: data is deleted after its end and an approval", strings.Join(a.Active, ", "))
	case len(a.Held) > 0:
		return wait(MaxRequeue, v1alpha1.ReasonLegalHold, "the subject is under LegalHold %s; the request goes on when it is lifted", strings.Join(a.Held, ", "))
	case len(a.Unmatched) > 0:
		return wait(MaxRequeue, v1alpha1.ReasonLegalHold,
			"LegalHold %s selects records of an entity that no PersonalDataMap of the namespace has, so that nobody can tell what it holds; give the entity its name back, or place the hold anew and lift this one",
			strings.Join(a.Unmatched, ", "))
	}
	return proceed()
}

// Approval is what is known of a request's approval.
type Approval struct {
	// Given is spec.approved.
	Given bool
	// Verified is true where admission saw who approved.
	Verified bool
	// RequesterKnown is true where admission saw who asked, and can compare the two.
	RequesterKnown bool
	// ByRequester is true where who approved is who asked.
	ByRequester bool
}

// JudgeApproval decides whether the request has the approval that it needs.
func JudgeApproval(a Approval, policyRequires, processWasActive, fourEyes bool) Verdict {
	if !policyRequires && !processWasActive {
		return proceed()
	}
	if !a.Given {
		why := "the policy demands it"
		if processWasActive {
			why = "a process of the subject was active when the request came"
		}
		return wait(MaxRequeue, v1alpha1.ReasonAwaitingApproval, "an approval is needed (%s): set spec.approved", why)
	}
	if fourEyes {
		return JudgeFourEyes(a)
	}
	return proceed()
}

// JudgeFourEyes decides whether an approval counts where the approver must not be the requester.
func JudgeFourEyes(a Approval) Verdict {
	const remedy = "; the policy demands four eyes: cancel this request and create another one, which somebody else approves"
	switch {
	case !a.Verified:
		return wait(MaxRequeue, v1alpha1.ReasonAwaitingApproval, "nobody verified who approved, because admission was away or its stamp was changed"+remedy)
	case !a.RequesterKnown:
		return wait(MaxRequeue, v1alpha1.ReasonAwaitingApproval, "nobody knows who asked, because admission was away or its stamp was changed"+remedy)
	case a.ByRequester:
		return wait(MaxRequeue, v1alpha1.ReasonAwaitingApproval, "who asked cannot approve"+remedy)
	}
	return proceed()
}

// Schedule is when deletion begins, rounded up to the second.
func Schedule(confirmed time.Time, gracePeriod string, timing v1alpha1.Timing) (time.Time, error) {
	if timing == v1alpha1.TimingImmediate {
		return CeilSecond(confirmed), nil
	}
	return addPeriod(confirmed, gracePeriod)
}

// DueDate is receipt plus one month (GDPR Art. 12(3)).
func DueDate(received time.Time) (time.Time, error) { return addPeriod(received, responsePeriod) }

// PurgeTime is when a finished request is purged.
func PurgeTime(finished time.Time, archiveRetention string) (time.Time, error) {
	return addPeriod(finished, archiveRetention)
}

func addPeriod(t time.Time, iso string) (time.Time, error) {
	p, err := period.ParsePeriod(iso)
	if err != nil {
		return time.Time{}, err
	}
	return CeilSecond(p.AddTo(t.UTC())), nil
}

// CeilSecond rounds up to the second: a time in status is never before the real one.
func CeilSecond(t time.Time) time.Time {
	if r := t.Truncate(time.Second); !r.Equal(t) {
		return r.Add(time.Second).UTC()
	}
	return t.UTC()
}

// Reached tells whether both clocks have passed the time, and refuses when they disagree. Neither clock alone decides.
func Reached(at, process, witness time.Time) Verdict {
	if d := process.Sub(witness).Abs(); d > MaxClockDisagreement {
		return wait(time.Minute, v1alpha1.ReasonClockDisagreement,
			"the operator's clock and the API server's differ by %s; nothing begins before they agree to %s", d.Round(time.Second), MaxClockDisagreement)
	}
	earlier := process
	if witness.Before(earlier) {
		earlier = witness
	}
	if earlier.Before(at) {
		return wait(Hint(at.Sub(earlier)), v1alpha1.ReasonGracePeriod, "deletion begins at %s", at.UTC().Format(time.RFC3339))
	}
	return proceed()
}

// Hint bounds a RequeueAfter.
func Hint(d time.Duration) time.Duration {
	return min(max(d, time.Second), MaxRequeue)
}

// Risk tells whether the statutory due date is at risk, with the reason: overdue, scheduled after it, or close to it
// without an end in sight.
func Risk(now, due time.Time, scheduled *time.Time, failing bool) (reason, message string, atRisk bool) {
	day := due.UTC().Format(time.RFC3339)
	switch {
	case now.After(due):
		return v1alpha1.ReasonOverdue, "the statutory due date " + day + " has passed", true
	case scheduled != nil && scheduled.After(due):
		return v1alpha1.ReasonScheduledAfterDueDate, fmt.Sprintf("deletion at %s is after the statutory due date %s (GDPR Art. 12(3)); shorten the grace period or tell the subject of an extension",
			scheduled.UTC().Format(time.RFC3339), day), true
	case failing || ((scheduled == nil || now.After(*scheduled)) && due.Sub(now) < riskWindow):
		return v1alpha1.ReasonRetrying, "the statutory due date " + day + " is at risk: the request cannot proceed", true
	}
	return v1alpha1.ReasonReady, "the schedule is before the statutory due date " + day, false
}
