package planner

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

// StepKind tells what a step treats.
type StepKind string

// The kinds of steps, in the order in which they are done.
const (
	StepRecords   StepKind = "Records"
	StepFiles     StepKind = "Files"
	StepKeys      StepKind = "Keys"
	StepResources StepKind = "Resources"
	StepFinal     StepKind = "Final"
)

// Purpose tells why an operation of a step is there; the same words as in the API where they exist.
type Purpose string

// The purposes.
const (
	PurposeDelete    Purpose = "Delete"
	PurposeAnonymize Purpose = "Anonymize"
	PurposeMark      Purpose = "Mark"
	// PurposePin overwrites what a retained record does not need of a record that it refers to.
	PurposePin Purpose = "Pin"
	// PurposeUnlink sets the link of a record to NULL before the record that it refers to goes.
	PurposeUnlink Purpose = "Unlink"
	// PurposeFile removes what a record names in a path store.
	PurposeFile Purpose = "File"
)

// Step is what one store does in one batch.
type Step struct {
	// Name is the kind in lower case, a slash and the store.
	Name  string   `json:"name"`
	Kind  StepKind `json:"kind"`
	Store string   `json:"store"`
	// Operations in their order, children before parents.
	Operations []backend.Operation `json:"operations"`
	// Purposes of the operations, in the same order.
	Purposes []Purpose `json:"purposes"`
	// Planned records or files of all operations.
	Planned int64 `json:"planned"`
	// Nonce is known to the run alone, so that the digest tells nothing of the content.
	Nonce string `json:"nonce"`
}

// Proceeds tells whether an erasure goes on with the other stores while one is away.
func (g *Graph) Proceeds() bool {
	return len(g.maps) > 0 && !slices.ContainsFunc(g.maps, func(m MapSource) bool { return m.Spec.WhenStoreUnavailable != v1alpha1.UnavailableProceed })
}

// Records tells whether the step treats records of tables.
func (s Step) Records() bool { return s.Kind == StepRecords || s.Kind == StepFinal }

// Digest is the SHA-256 of the step in hexadecimal. Equal steps of one run have equal digests.
func (s Step) Digest() string { return digest(s) }

// Residue is what a law or a hold keeps after the erasure, with what is done when it may go. It is due when Until has
// passed, every hold of HoldUIDs is lifted, and the residues in After are done. It is never due while NoEnd.
type Residue struct {
	ID       string     `json:"id"`
	Until    *time.Time `json:"until,omitempty"`
	HoldUIDs []string   `json:"holdUIDs,omitempty"`
	// NoEnd means that a record's date is missing or unreadable: a person has to decide.
	NoEnd bool `json:"noEnd,omitempty"`
	// After has the IDs of residues whose records refer to records of this one. Plan.Residues stands in that order.
	After    []string                 `json:"after,omitempty"`
	Basis    string                   `json:"basis"`
	Counts   []v1alpha1.CategoryCount `json:"counts,omitempty"`
	Retained []v1alpha1.RetainedData  `json:"retained,omitempty"`
	Steps    []Step                   `json:"steps"`
	// Tombstones are the root records that go with it.
	Tombstones []RootRef `json:"tombstones,omitempty"`
}

// RootRef names a record of a root entity.
type RootRef struct {
	Store string `json:"store"`
	// Entity as map/entity.
	Entity string `json:"entity"`
	// Key in the store's notation: the value of a single key column, else all of them as tuple.
	Key string `json:"key"`
}

// Plan is everything that one run does. It holds personal data and is only ever stored sealed.
type Plan struct {
	RunID    string                   `json:"runID"`
	Revision int                      `json:"revision"`
	Nonce    string                   `json:"nonce"`
	Scope    string                   `json:"scope,omitempty"`
	Maps     []PlanMap                `json:"maps"`
	Steps    []Step                   `json:"steps,omitempty"`
	Residues []Residue                `json:"residues,omitempty"`
	Counts   []v1alpha1.CategoryCount `json:"counts,omitempty"`
	Retained []v1alpha1.RetainedData  `json:"retained,omitempty"`
	// Tombstones are the root records of the subject.
	Tombstones []RootRef `json:"tombstones,omitempty"`
}

// PlanMap pins a map.
type PlanMap struct {
	Name       string `json:"name"`
	UID        string `json:"uid"`
	Generation int64  `json:"generation"`
}

// Digest is the SHA-256 of the plan in hexadecimal. The plan holds a nonce that only the run knows, so the digest tells
// nothing of its content.
func (p *Plan) Digest() string { return digest(p) }

// digest hashes JSON, which is canonical here: fields stand in the order of the types, keys of maps are sorted, and the
// planner sorts its lists.
func digest(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		// Only times beyond the year 9999 could fail, which hold.until excludes.
		panic("planner: a plan that cannot be marshalled: " + err.Error())
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// WithLiveHolds returns the step with the legal holds of now as conditions under which records must not be touched: where
// one has come into force since planning and selects a planned record, the store finds the batch stale. Links that are
// cut stay as they are: a hold keeps a record, not its reference to a record that may go.
//
// Files have no columns: a hold that comes between the records and their files cannot be seen here. A hold on the whole
// subject makes every record step stale.
func (g *Graph) WithLiveHolds(step Step, holds []Hold) Step {
	out := step
	out.Operations = make([]backend.Operation, len(step.Operations))
	for i, op := range step.Operations {
		out.Operations[i] = op
		if op.Action == backend.Unlink || i < len(step.Purposes) && step.Purposes[i] == PurposeUnlink || len(op.KeyColumns) == 0 {
			continue
		}
		unless := append([][]backend.Condition(nil), op.Unless...)
		// A key is never NULL: this holds for every record.
		always := []backend.Condition{{Column: op.KeyColumns[0], Operator: backend.Exists}}
		for _, h := range holds {
			if h.WholeSubject {
				unless = append(unless, always)
			}
			for _, r := range h.Records {
				switch {
				case r.entity() != op.Entity:
				case len(r.Conditions) == 0:
					unless = append(unless, always)
				default:
					unless = append(unless, conditions(r.Conditions))
				}
			}
		}
		out.Operations[i].Unless = unless
	}
	return out
}
