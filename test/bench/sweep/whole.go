package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/journal"
	keysmemory "github.com/lethe-dev/lethe/internal/keys/memory"
	"github.com/lethe-dev/lethe/internal/ledger"
	ledgersqlite "github.com/lethe-dev/lethe/internal/ledger/sqlite"
	"github.com/lethe-dev/lethe/internal/planner"
	"github.com/lethe-dev/lethe/internal/retention"
	"github.com/lethe-dev/lethe/internal/state"
	"github.com/lethe-dev/lethe/internal/stores"
	"github.com/lethe-dev/lethe/internal/sweeper"
	vaultsqlite "github.com/lethe-dev/lethe/internal/vault/sqlite"
	"github.com/lethe-dev/lethe/test/bench/internal/turns"
)

const namespace = "bench"

// whole is the sweeper as the operator has it, with ledger, state store and checkpoints on the same disk, but for the keys: that of a
// run is a Secret there, one write each to make and to remove it.
type whole struct {
	sweeper *sweeper.Sweeper
	vault   *vaultsqlite.Vault
	folder  string
	policy  v1alpha1.RetentionPolicySpec
	targets []*retention.Target
}

type oneStore struct{ store *stores.Store }

func (o oneStore) Get(context.Context, string, string) (*stores.Store, error) { return o.store, nil }

// maps say that a candidate's documents, applications and their notes go with it.
func maps() []planner.MapSource {
	entity := func(name, parent, column string) v1alpha1.Entity {
		e := v1alpha1.Entity{Name: name, Store: "main", Table: name, Key: key, Category: name, Action: v1alpha1.ActionDelete}
		if parent != "" {
			e.Parents = []v1alpha1.Parent{{Entity: parent, Relation: v1alpha1.RelationDeep, Columns: []v1alpha1.ColumnPair{{Column: column, ParentColumn: "id"}}}}
		}
		return e
	}
	candidate := entity("candidate", "", "")
	candidate.Root = &v1alpha1.Root{Rows: v1alpha1.RowsOne}
	candidate.IdentifiedBy = []v1alpha1.IdentityMatch{{Column: "id", Identity: "id"}}
	candidate.Clocks = []v1alpha1.Clock{{Name: "seen", Column: "seen"}}
	return []planner.MapSource{{Name: "people", UID: "map", Generation: 1, Spec: v1alpha1.PersonalDataMapSpec{Entities: []v1alpha1.Entity{candidate,
		entity("document", "candidate", "candidate_id"), entity("application", "candidate", "candidate_id"), entity("note", "application", "application_id")}}}}
}

func newWhole(ctx context.Context, b backend.Backend) (_ *whole, err error) {
	w := &whole{policy: v1alpha1.RetentionPolicySpec{
		Throttle: &v1alpha1.SweepThrottle{BatchSize: 5000, TargetMilliseconds: 5000, DutyPercent: 100},
		Limits:   &v1alpha1.SweepLimits{MaxSharePercent: 100},
		Rules:    []v1alpha1.RetentionRule{{Name: "old", Entity: "people/candidate", Clock: "seen", Period: "P1D", Action: v1alpha1.RuleDelete}}}}
	rules, problems := retention.Compile(w.policy, maps())
	if len(problems) > 0 {
		return nil, fmt.Errorf("the rule: %s", problems[0].Message)
	}
	w.targets = rules.Of("old")
	if w.folder, err = os.MkdirTemp("", "lethe-bench-"); err != nil {
		return nil, err
	}
	signer, err := ledger.NewSigner("bench.lethe.dev", make([]byte, 32))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(w.folder))
	}
	w.vault, err = vaultsqlite.Open(ctx, filepath.Join(w.folder, "ledger.db"), ledgersqlite.Options{LogName: "bench.lethe.dev", Signer: signer})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(w.folder))
	}
	store := &stores.Store{Backend: b, Name: "main", Kind: planner.TableStore, DefaultSchema: "public", Limits: v1alpha1.StoreLimits{MaxRowsPerRun: 1 << 30}}
	w.sweeper = &sweeper.Sweeper{Stores: oneStore{store}, State: w.vault.State, Keys: keysmemory.New(), Clock: clock.RealClock{}, Budget: time.Hour,
		Journal: &journal.Journal{Ledger: w.vault.Ledger, State: w.vault.State, Clock: clock.RealClock{}}}
	return w, nil
}

func (w *whole) close() error { return errors.Join(w.vault.Close(), os.RemoveAll(w.folder)) }

// run treats what is due by a cutoff as a run that was announced before.
func (w *whole) run(ctx context.Context, cutoff time.Time, due int64, workers int) error {
	until := cutoff.AddDate(0, 0, 1)
	schedule, err := w.vault.State.Schedule(ctx, "policy")
	if errors.Is(err, state.ErrNotFound) {
		schedule, err = &state.Schedule{PolicyUID: "policy", Namespace: namespace}, nil
	}
	if err != nil {
		return err
	}
	record, err := w.sweeper.Announce(ctx, sweeper.Announcement{Namespace: namespace, Policy: "candidates", PolicyUID: "policy", Rule: "old",
		RunName: fmt.Sprint("run-", until.Unix()), Generation: 1, Until: until,
		Targets: []state.SweepTarget{{Entity: w.targets[0].Name(), Due: due}}}, schedule)
	if err != nil {
		return err
	}
	record, err = w.sweeper.Advance(ctx, sweeper.Task{RunUID: record.UID, Namespace: namespace, Name: record.Name, Policy: w.policy, Targets: w.targets, Parallelism: workers})
	if err != nil {
		return err
	}
	if record.Phase != string(v1alpha1.PhaseCompleted) || record.Sweep.Done != due {
		return fmt.Errorf("%w: the run ended as %s with %d of %d", errLeft, record.Phase, record.Sweep.Done, due)
	}
	return nil
}

// wholeRuns compares runs with all that belongs to them, which have a part of the table as large as can be in their turns.
func wholeRuns(ctx context.Context, d *database) error {
	d.o.due = d.o.rows / (3 * d.o.rounds)
	w, err := newWhole(ctx, d.lethe.(backend.Backend))
	if err != nil {
		return err
	}
	run := func(name string, workers int) turns.Contender {
		return d.contender(ctx, name, func(cutoff time.Time) error { return w.run(ctx, cutoff, int64(d.o.due), workers) })
	}
	times, err := turns.Run(ctx, []turns.Contender{d.floor(ctx), run("whole_5000", 1), run("whole_5000_two_workers", 2)}, d.o.rounds)
	if err := errors.Join(err, w.close()); err != nil {
		return err
	}
	ratios(times, "floor", map[string]float64{"whole_5000": 1, "whole_5000_two_workers": 1.5})
	return nil
}
