package executor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/certificate"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/state"
)

// certify makes the certificate of a run that is about to end as Completed: the entry that commits to it waits for the
// next save, and keep puts it into the same transaction. A number that somebody else was faster with is an ErrConflict.
func (r *run) certify(ctx context.Context, residues []state.Residue, counts []v1alpha1.CategoryCount) (keep func(state.Tx) error, err error) {
	request, err := r.State.Request(ctx, r.record.RequestUID)
	if errors.Is(err, state.ErrNotFound) { // a residue whose request the store has lost
		return func(state.Tx) error { return nil }, nil
	}
	if err != nil {
		return nil, err
	}
	var body *certificate.Body
	before, err := r.State.Certificate(ctx, request.UID)
	switch {
	case errors.Is(err, state.ErrNotFound):
		body, err = r.firstCertificate(ctx, request)
	case err == nil:
		body, err = certificate.ReadBody(before.Body)
	}
	if err != nil {
		return nil, err
	}
	if before != nil {
		body.Replaces = certificate.Digest(before.Body)
	}
	if r.task.ResidueID != "" {
		body.Categories = addCounts(body.Categories, counts)
		body.Timeline = append(body.Timeline, certificate.Event{Event: certificate.EventRetainedErased, At: policy.CeilSecond(*r.record.FinishedAt)})
	}
	body.Number++
	body.IssuedAt = policy.CeilSecond(*r.record.FinishedAt)
	body.Verification.At = body.IssuedAt
	if err := retain(body, residues); err != nil {
		return nil, err
	}
	canonical, err := body.Canonical()
	if err != nil {
		return nil, err
	}
	entry := certificate.Entry(body, canonical, r.task.RunUID)
	r.pending = append(r.pending, entry)
	return func(tx state.Tx) error {
		return tx.PutCertificate(state.Certificate{RequestUID: request.UID, Namespace: r.task.Namespace, Number: body.Number, EntryKey: entry.Key,
			IssuedAt: *r.record.FinishedAt, Body: canonical})
	}, nil
}

// certifyResidue makes the certificate of a request one of whose residues is about to be gone.
func (r *run) certifyResidue(ctx context.Context, gone *state.Residue, counts []v1alpha1.CategoryCount) (keep func(state.Tx) error, err error) {
	residues, err := r.State.Residues(ctx, r.task.Namespace, r.record.RequestUID)
	if err != nil {
		return nil, err
	}
	for i := range residues {
		if residues[i].ID == gone.ID {
			residues[i] = *gone
		}
	}
	return r.certify(ctx, residues, counts)
}

// firstCertificate is what the request and its run tell.
func (r *run) firstCertificate(ctx context.Context, request *state.Request) (*certificate.Body, error) {
	run := r.record
	if r.task.ResidueID != "" {
		var err error
		if run, err = r.State.Run(ctx, request.UID); err != nil {
			return nil, err
		}
	}
	body := &certificate.Body{Namespace: request.Namespace, DueAt: policy.CeilSecond(request.DueAt), Timeline: timeline(request, run),
		Request: certificate.Request{UID: request.UID, Handle: request.Handle, Source: request.Source, Scope: request.Scope, Timing: request.Timing},
		Verification: certificate.Verification{Method: certificate.MethodRequery, PlanDigest: run.PlanDigest,
			PlanRevisions: int64(run.PlanRevision), Steps: int64(len(run.Steps))}}
	checkpoint, err := r.Journal.Ledger.Checkpoint(ctx, request.Namespace)
	if err != nil {
		return nil, err
	}
	body.Ledger = checkpoint.OriginLine
	if body.Actors, err = r.actors(ctx, request); err != nil {
		return nil, err
	}
	var outcome Outcome
	for from, into := range map[*json.RawMessage]any{&request.Policy: &body.Policy, &request.Maps: &body.Maps, &run.Outcome: &outcome} {
		if len(*from) == 0 {
			continue
		}
		if err := json.Unmarshal(*from, into); err != nil {
			return nil, errors.New("a record of the state store cannot be read")
		}
	}
	body.Categories = outcome.Counts
	return body, nil
}

func timeline(request *state.Request, run *state.Run) []certificate.Event {
	var events []certificate.Event
	for _, e := range []struct {
		event string
		at    *time.Time
	}{
		{certificate.EventReceived, &request.ReceivedAt},
		{certificate.EventConfirmed, request.ConfirmedAt},
		{certificate.EventScheduled, request.ScheduledAt},
		{certificate.EventProcessing, request.ProcessingStartedAt},
		{certificate.EventFinished, run.FinishedAt},
	} {
		if e.at != nil {
			events = append(events, certificate.Event{Event: e.event, At: policy.CeilSecond(*e.at)})
		}
	}
	return events
}

// actors says what the ledger tells of who asked and who approved; it says Unknown where admission verified nobody.
func (r *run) actors(ctx context.Context, request *state.Request) ([]certificate.Actor, error) {
	requester := certificate.Actor{Role: certificate.RoleRequester, Known: certificate.ActorUnknown}
	approver := certificate.Actor{Role: certificate.RoleApprover, Known: certificate.ActorNotRequired}
	if request.ApprovedAt != nil {
		approver.Known = certificate.ActorUnknown
	}
	for key, actor := range map[string]*certificate.Actor{"/received": &requester, "/approved": &approver} {
		record, err := r.Journal.Ledger.Find(ctx, request.Namespace, request.Handle+key)
		if errors.Is(err, ledger.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		actor.Known = certificate.ActorUnknown
		if name := record.Entry.Actor; name != "" && name != v1alpha1.ActorUnknown {
			actor.Known, actor.Name = certificate.ActorKnown, name
		}
	}
	return []certificate.Actor{requester, approver, {Role: certificate.RoleExecutor, Known: certificate.ActorKnown, Name: "lethe"}}, nil
}

// retain lists what the residues that are not done keep, and counts it by category.
func retain(body *certificate.Body, residues []state.Residue) error {
	body.Retained = nil
	body.Result, body.Verification.Result = certificate.ResultErased, certificate.VerifiedNothingLeft
	counts := map[string]int64{}
	for _, residue := range residues {
		if residue.State == state.ResidueDone {
			continue
		}
		body.Result, body.Verification.Result = certificate.ResultRetained, certificate.VerifiedOnlyRetained
		var list []v1alpha1.RetainedData
		if err := json.Unmarshal(residue.Retained, &list); err != nil {
			return errors.New("a residue cannot be read")
		}
		for _, d := range list {
			counts[d.Category] += d.Count
			body.Retained = addRetained(body.Retained, d)
		}
	}
	slices.SortStableFunc(body.Retained, func(a, b certificate.Retained) int {
		return cmp.Or(cmp.Compare(a.Category, b.Category), cmp.Compare(a.Entity, b.Entity), cmp.Compare(a.Basis, b.Basis))
	})
	for i := range body.Categories {
		body.Categories[i].Retained = counts[body.Categories[i].Category]
	}
	return nil
}

// addRetained adds to what is kept on the same basis until the same date: two holds are one for a reader.
func addRetained(list []certificate.Retained, d v1alpha1.RetainedData) []certificate.Retained {
	kept := certificate.Retained{Category: d.Category, Entity: d.Entity, Count: d.Count, Basis: d.Basis}
	if d.Until != nil {
		until := policy.CeilSecond(d.Until.Time)
		kept.Until = &until
	}
	for i, other := range list {
		if other.Category == kept.Category && other.Entity == kept.Entity && other.Basis == kept.Basis && ptr.Equal(other.Until, kept.Until) {
			list[i].Count += kept.Count
			return list
		}
	}
	return append(list, kept)
}

// addCounts adds what was done later.
func addCounts(counts, more []v1alpha1.CategoryCount) []v1alpha1.CategoryCount {
	for _, m := range more {
		i := slices.IndexFunc(counts, func(c v1alpha1.CategoryCount) bool { return c.Category == m.Category })
		if i < 0 {
			counts = append(counts, v1alpha1.CategoryCount{Category: m.Category})
			i = len(counts) - 1
		}
		c := &counts[i]
		c.Deleted, c.Anonymized, c.Marked = c.Deleted+m.Deleted, c.Anonymized+m.Anonymized, c.Marked+m.Marked
		c.Unlinked, c.Files = c.Unlinked+m.Unlinked, c.Files+m.Files
	}
	return counts
}
