package state

import (
	"encoding/json"
	"slices"
	"time"
)

// Request is an erasure request. Fields marked json:"-" have columns of their own.
type Request struct {
	UID              string `json:"-"`
	Namespace        string `json:"-"`
	Name             string `json:"-"`
	Revision         int64  `json:"-"`
	Handle           string `json:"handle"`
	SubjectPseudonym string `json:"-"`

	Phase string `json:"phase,omitempty"`
	Stage string `json:"stage,omitempty"`

	// Source, Scope and Timing are what the request asked for when it was received, Timing as it is now.
	Source string `json:"source,omitempty"`
	Scope  string `json:"scope,omitempty"`
	Timing string `json:"timing,omitempty"`

	ReceivedAt          time.Time  `json:"receivedAt"`
	DueAt               time.Time  `json:"dueAt"`
	ConfirmedAt         *time.Time `json:"confirmedAt,omitempty"`
	ScheduledAt         *time.Time `json:"scheduledAt,omitempty"`
	ProcessingStartedAt *time.Time `json:"processingStartedAt,omitempty"`
	FinishedAt          *time.Time `json:"finishedAt,omitempty"`
	PurgeAt             *time.Time `json:"purgeAt,omitempty"`

	// Policy and Maps are the snapshots that apply.
	Policy json.RawMessage `json:"policy,omitempty"`
	Maps   json.RawMessage `json:"maps,omitempty"`

	ApprovedAt *time.Time `json:"approvedAt,omitempty"`
	// Forced is true where somebody who may had an active process left out of account.
	Forced bool `json:"forced,omitempty"`
	// ApprovalNeeded stays set once an active process was seen.
	ApprovalNeeded bool `json:"approvalNeeded,omitempty"`

	// IdentitiesSecret is the name of the Secret with the identities, so that it can be destroyed without the object.
	IdentitiesSecret string `json:"identitiesSecret,omitempty"`
	// IdentitiesMAC pins the identities that were confirmed: keyed, so that it tells nothing of them.
	IdentitiesMAC string `json:"identitiesMAC,omitempty"`

	// Deactivation holds the earlier values of deactivated records, sealed.
	Deactivation      []byte `json:"-"`
	DeactivationState string `json:"deactivationState,omitempty"`

	RunUID      string `json:"runUID,omitempty"`
	RunName     string `json:"runName,omitempty"`
	DuplicateOf string `json:"duplicateOf,omitempty"`

	// Acknowledged are the nonces of commands that were followed.
	Acknowledged json.RawMessage `json:"acknowledged,omitempty"`
	Outcome      json.RawMessage `json:"outcome,omitempty"`
	History      json.RawMessage `json:"history,omitempty"`
}

// Run is one execution of a plan.
type Run struct {
	UID        string `json:"-"`
	Namespace  string `json:"-"`
	Name       string `json:"-"`
	Revision   int64  `json:"-"`
	RequestUID string `json:"requestUID,omitempty"`
	ResidueID  string `json:"residueID,omitempty"`
	Handle     string `json:"handle,omitempty"`
	// Sweep is set for the run of a retention rule.
	Sweep *Sweep `json:"sweep,omitempty"`
	// Shard is set for a part of such a run.
	Shard *Shard `json:"shard,omitempty"`

	PlanRevision int    `json:"planRevision,omitempty"`
	PlanDigest   string `json:"planDigest,omitempty"`
	// Sealed is the plan; empty once it is destroyed.
	Sealed []byte       `json:"-"`
	Steps  []StepRecord `json:"steps,omitempty"`
	// Effects tells that a first effect may have happened.
	Effects  bool `json:"effects,omitempty"`
	Attempts int  `json:"attempts,omitempty"`

	StartedAt     *time.Time `json:"startedAt,omitempty"`
	FinishedAt    *time.Time `json:"finishedAt,omitempty"`
	NextAttemptAt *time.Time `json:"nextAttemptAt,omitempty"`
	FailingSince  *time.Time `json:"failingSince,omitempty"`

	Phase   string          `json:"phase,omitempty"`
	Reason  string          `json:"reason,omitempty"`
	Message string          `json:"message,omitempty"`
	Outcome json.RawMessage `json:"outcome,omitempty"`
	// AcknowledgedRetry is the nonce of the last retry that was followed.
	AcknowledgedRetry string `json:"acknowledgedRetry,omitempty"`
}

// Sweep is the run of a retention rule.
type Sweep struct {
	PolicyUID string `json:"policyUID"`
	Policy    string `json:"policy"`
	Rule      string `json:"rule"`
	// Until is up to when records that fall due are treated.
	Until time.Time `json:"until"`
	// ScheduledAt is when the run begins, AnnouncedFor when it would without a postponement.
	ScheduledAt  time.Time `json:"scheduledAt"`
	AnnouncedFor time.Time `json:"announcedFor"`
	AnnouncedAt  time.Time `json:"announcedAt"`
	// Told is set once the announcement has reached those outside the cluster who are to know.
	Told bool `json:"told,omitempty"`
	// Due and Total are the records that were announced, and all of the entities.
	Due   int64 `json:"due"`
	Total int64 `json:"total"`
	// Confirmed is how many records a person confirmed; nil without a confirmation.
	Confirmed *int64 `json:"confirmed,omitempty"`
	// Limit of the records that the run may treat, set when it begins.
	Limit int64 `json:"limit,omitempty"`
	// Targets in the order in which they are swept. How far each of their shards is, is a run of its own.
	Targets []SweepTarget `json:"targets,omitempty"`
	// Passes over all targets so far. One that finds nothing more to do is the last.
	Passes int `json:"passes,omitempty"`
	// Counts of records treated in the passes before this one, by entity and action.
	Counts []SweepCount `json:"counts,omitempty"`
	// Done are the records that were due and are treated, in those passes.
	Done int64 `json:"done,omitempty"`
	// Left are the records that were still due when the run had treated as many as it may.
	Left int64 `json:"left,omitempty"`
	// ArchiveStore has what the run archived, below the run's name, for the ArchiveRetention (ISO 8601) after its end.
	ArchiveStore     string     `json:"archiveStore,omitempty"`
	ArchiveRetention string     `json:"archiveRetention,omitempty"`
	PurgedAt         *time.Time `json:"purgedAt,omitempty"`
	// Jobs counts the Jobs that were made for the run. Job is the one whose workers are at it.
	Jobs int       `json:"jobs,omitempty"`
	Job  *SweepJob `json:"job,omitempty"`
}

// SweepJob is a Kubernetes Job for one target of a run in one pass, with one worker for each shard.
type SweepJob struct {
	Name   string `json:"name"`
	Pass   int    `json:"pass"`
	Target int    `json:"target"`
}

// SweepTarget is the sweep of one entity.
type SweepTarget struct {
	// Entity as map/entity.
	Entity string `json:"entity"`
	Due    int64  `json:"due"`
	Shards int    `json:"shards"`
}

// Shard is how far one worker is with one target of a run, in one pass. What may hold values of records is in the sealed
// material of its record.
type Shard struct {
	RunUID string `json:"runUID"`
	Target int    `json:"target"`
	Index  int    `json:"index"`
	Pass   int    `json:"pass"`
	// Batch counts the batches, Done the records that were due and are treated, Skipped those that others had locked.
	Batch   int64        `json:"batch,omitempty"`
	Done    int64        `json:"done,omitempty"`
	Skipped int64        `json:"skipped,omitempty"`
	Counts  []SweepCount `json:"counts,omitempty"`
	// Size of the next batch.
	Size int  `json:"size,omitempty"`
	Over bool `json:"over,omitempty"`
	// Room is how many records a worker of a Job may treat in this pass, Bounded tells that there may be more in its range, and
	// Hungry that there may have been in the pass before.
	Room    int64 `json:"room,omitempty"`
	Bounded bool  `json:"bounded,omitempty"`
	Hungry  bool  `json:"hungry,omitempty"`
	// Remote tells that a worker of a Job wrote last, Terminal that what it failed with needs a person.
	Remote   bool `json:"remote,omitempty"`
	Terminal bool `json:"terminal,omitempty"`
}

// SweepCount counts what was done to the records of one entity.
type SweepCount struct {
	Entity   string `json:"entity"`
	Category string `json:"category"`
	Action   string `json:"action"`
	Count    int64  `json:"count"`
}

// Schedule is what is known of the sweeps of a RetentionPolicy.
type Schedule struct {
	PolicyUID string `json:"-"`
	Namespace string `json:"-"`
	Revision  int64  `json:"-"`
	// LastSweep is when the rules were last followed.
	LastSweep *time.Time `json:"lastSweep,omitempty"`
	// AcknowledgedSweep is the nonce of the last sweep that was asked for.
	AcknowledgedSweep string         `json:"acknowledgedSweep,omitempty"`
	Rules             []RuleSchedule `json:"rules,omitempty"`
}

// RuleSchedule is what is known of one rule.
type RuleSchedule struct {
	Name string `json:"name"`
	// AnnouncedUntil is up to when what falls due was announced.
	AnnouncedUntil *time.Time `json:"announcedUntil,omitempty"`
	// Open are the runs that have not ended, the earliest first.
	Open []OpenSweep `json:"open,omitempty"`
}

// OpenSweep is a run that was announced and has not ended.
type OpenSweep struct {
	RunUID string    `json:"runUID"`
	Run    string    `json:"run"`
	Until  time.Time `json:"until"`
}

// Rule finds the rule by its name, and adds it where it is not there.
func (s *Schedule) Rule(name string) *RuleSchedule {
	for i := range s.Rules {
		if s.Rules[i].Name == name {
			return &s.Rules[i]
		}
	}
	s.Rules = append(s.Rules, RuleSchedule{Name: name})
	return &s.Rules[len(s.Rules)-1]
}

// Close takes a run that has ended out of the open ones; where it is none of them nothing changes.
func (s *Schedule) Close(runUID string) (changed bool) {
	for i := range s.Rules {
		before := len(s.Rules[i].Open)
		s.Rules[i].Open = slices.DeleteFunc(s.Rules[i].Open, func(o OpenSweep) bool { return o.RunUID == runUID })
		changed = changed || len(s.Rules[i].Open) != before
	}
	return changed
}

// StepRecord is how far one step is.
type StepRecord struct {
	Name   string `json:"name"`
	Digest string `json:"digest,omitempty"`
	State  string `json:"state,omitempty"`
	Cursor int64  `json:"cursor,omitempty"`
	Done   int64  `json:"done,omitempty"`
	// Planned records or files.
	Planned int64 `json:"planned,omitempty"`
}

// Hold is a legal hold.
type Hold struct {
	UID               string          `json:"-"`
	Namespace         string          `json:"-"`
	Name              string          `json:"-"`
	SubjectPseudonyms []string        `json:"subjectPseudonyms,omitempty"`
	Records           json.RawMessage `json:"records,omitempty"`
	InForceSince      time.Time       `json:"inForceSince"`
	LiftedAt          *time.Time      `json:"-"`
}

// States of a residue.
const (
	ResidueWaiting = "Waiting"
	ResidueRunning = "Running"
	ResidueDone    = "Done"
)

// Residue is what a hold or a statutory basis keeps of an erasure.
type Residue struct {
	ID               string `json:"-"`
	Namespace        string `json:"-"`
	Revision         int64  `json:"-"`
	RequestUID       string `json:"-"`
	RequestName      string `json:"requestName,omitempty"`
	Handle           string `json:"handle,omitempty"`
	SubjectPseudonym string `json:"-"`
	Basis            string `json:"basis,omitempty"`
	// Until is when the basis ends; nil if only the holds decide.
	Until    *time.Time `json:"until,omitempty"`
	HoldUIDs []string   `json:"holdUIDs,omitempty"`
	// AlsoKnownAs are pseudonyms of further ids of the subject, which a hold may name.
	AlsoKnownAs []string `json:"alsoKnownAs,omitempty"`
	// After has the ids of residues that must be done before this one.
	After    []string        `json:"after,omitempty"`
	Counts   json.RawMessage `json:"counts,omitempty"`
	Retained json.RawMessage `json:"retained,omitempty"`
	// Sealed holds the keys of what stays; empty once it is destroyed.
	Sealed    []byte    `json:"-"`
	CreatedAt time.Time `json:"createdAt"`
	RunName   string    `json:"runName,omitempty"`
	State     string    `json:"-"`
}

// Owner of claims.
type Owner struct {
	UID  string
	Name string
}

// Tombstone marks an erased root record.
type Tombstone struct {
	Namespace string
	Store     string
	Entity    string
	MAC       string
	ErasedAt  time.Time
}

// SchemaBaseline is the structure of the tables that a map was checked against when it was written. It holds names and
// types, never data.
type SchemaBaseline struct {
	MapUID    string
	Namespace string
	// Generation of the map that it belongs to.
	Generation int64
	// Tables in the planner's compressed form.
	Tables []byte
}

// Certificate is what was attested of a request. It is never changed: what happens later makes one with a higher number.
type Certificate struct {
	RequestUID string
	Namespace  string
	// Number counts the certificates of a request from 1.
	Number int64
	// Key of the ledger's entry that holds the digest of the body.
	EntryKey string
	IssuedAt time.Time
	// Body is canonical JSON.
	Body []byte
}

// Checkpoint of a ledger's origin.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   []byte
}

// InUTC puts the request's times into UTC.
func (r *Request) InUTC() {
	r.ReceivedAt, r.DueAt = r.ReceivedAt.UTC(), r.DueAt.UTC()
	inUTC(&r.ConfirmedAt, &r.ScheduledAt, &r.ProcessingStartedAt, &r.FinishedAt, &r.PurgeAt, &r.ApprovedAt)
}

// InUTC puts the run's times into UTC.
func (r *Run) InUTC() {
	inUTC(&r.StartedAt, &r.FinishedAt, &r.NextAttemptAt, &r.FailingSince)
	if s := r.Sweep; s != nil {
		inUTC(&s.PurgedAt)
		s.Until, s.ScheduledAt, s.AnnouncedFor, s.AnnouncedAt = s.Until.UTC(), s.ScheduledAt.UTC(), s.AnnouncedFor.UTC(), s.AnnouncedAt.UTC()
	}
}

// InUTC puts the schedule's times into UTC.
func (s *Schedule) InUTC() {
	inUTC(&s.LastSweep)
	for i := range s.Rules {
		inUTC(&s.Rules[i].AnnouncedUntil)
		for k := range s.Rules[i].Open {
			s.Rules[i].Open[k].Until = s.Rules[i].Open[k].Until.UTC()
		}
	}
}

// InUTC puts the residue's times into UTC.
func (r *Residue) InUTC() {
	r.CreatedAt = r.CreatedAt.UTC()
	inUTC(&r.Until)
}

// InUTC puts the hold's times into UTC.
func (h *Hold) InUTC() {
	h.InForceSince = h.InForceSince.UTC()
	inUTC(&h.LiftedAt)
}

// Replace takes the place of what is stored of the hold, which does not begin it again. ErrLifted if that is lifted, ErrConflict
// if it is another namespace's.
func (h *Hold) Replace(before *Hold) error {
	switch {
	case before.LiftedAt != nil:
		return ErrLifted
	case before.Namespace != h.Namespace:
		return ErrConflict
	}
	h.InForceSince = before.InForceSince
	return nil
}

func inUTC(times ...**time.Time) {
	for _, t := range times {
		if *t != nil {
			utc := (*t).UTC() // a new one: the old may be shared
			*t = &utc
		}
	}
}
