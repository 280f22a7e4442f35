package statesqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/lethe-dev/lethe/internal/state"
)

// reader implements state.Reader, inside a transaction and outside.
type reader struct {
	stmt func(ctx context.Context, query string) *sql.Stmt
}

type scanner interface{ Scan(dest ...any) error }

// one reads one record with scan.
func one[T any](ctx context.Context, r *reader, scan func(scanner) (T, error), query string, args ...any) (*T, error) {
	record, err := scan(r.stmt(ctx, query).QueryRowContext(ctx, args...)) //nolint:sqlclosecheck // its pool or transaction closes it
	if errors.Is(err, sql.ErrNoRows) {
		return nil, state.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read state store: %w", err)
	}
	return &record, nil
}

// many reads a list.
func many[T any](ctx context.Context, r *reader, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := r.stmt(ctx, query).QueryContext(ctx, args...) //nolint:sqlclosecheck // its pool or transaction closes it
	if err != nil {
		return nil, fmt.Errorf("read state store: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var list []T
	for rows.Next() {
		record, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("read state store: %w", err)
		}
		list = append(list, record)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read state store: %w", err)
	}
	return list, nil
}

// decode reads a body; its error must not show the text.
func decode(body []byte, into any) error {
	if json.Unmarshal(body, into) != nil {
		return errors.New("a record's body is damaged")
	}
	return nil
}

func scanRequest(s scanner) (r state.Request, err error) {
	var body []byte
	if err = s.Scan(&r.UID, &r.Namespace, &r.Name, &r.Revision, &r.SubjectPseudonym, &body, &r.Deactivation); err != nil {
		return r, err
	}
	err = decode(body, &r)
	return r, err
}

func scanRun(s scanner) (r state.Run, err error) {
	var body []byte
	if err = s.Scan(&r.UID, &r.Namespace, &r.Name, &r.Revision, &body, &r.Sealed); err != nil {
		return r, err
	}
	err = decode(body, &r)
	return r, err
}

func scanHold(s scanner) (h state.Hold, err error) {
	var body []byte
	var lifted sql.NullInt64
	if err = s.Scan(&h.UID, &h.Namespace, &h.Name, &lifted, &body); err != nil {
		return h, err
	}
	if lifted.Valid {
		at := fromNanos(lifted.Int64)
		h.LiftedAt = &at
	}
	err = decode(body, &h)
	return h, err
}

func scanResidue(s scanner) (r state.Residue, err error) {
	var body []byte
	if err = s.Scan(&r.ID, &r.Namespace, &r.Revision, &r.RequestUID, &r.SubjectPseudonym, &r.State, &body, &r.Sealed); err != nil {
		return r, err
	}
	err = decode(body, &r)
	return r, err
}

func scanOwner(s scanner) (o state.Owner, err error) {
	err = s.Scan(&o.UID, &o.Name)
	return o, err
}

// Request implements state.Reader.
func (r *reader) Request(ctx context.Context, uid string) (*state.Request, error) {
	return one(ctx, r, scanRequest, selectRequest, uid)
}

// FinishedByName implements state.Reader.
func (r *reader) FinishedByName(ctx context.Context, namespace, name, exceptUID string) (*state.Request, error) {
	return one(ctx, r, scanRequest, selectFinished, namespace, name, exceptUID)
}

// Run implements state.Reader.
func (r *reader) Run(ctx context.Context, uid string) (*state.Run, error) {
	return one(ctx, r, scanRun, selectRun, uid)
}

// Hold implements state.Reader.
func (r *reader) Hold(ctx context.Context, uid string) (*state.Hold, error) {
	return one(ctx, r, scanHold, selectHold, uid)
}

// Holds implements state.Reader.
func (r *reader) Holds(ctx context.Context, namespace string) ([]state.Hold, error) {
	return many(ctx, r, scanHold, selectHolds, namespace)
}

// Residue implements state.Reader.
func (r *reader) Residue(ctx context.Context, id string) (*state.Residue, error) {
	return one(ctx, r, scanResidue, selectResidue, id)
}

// Residues implements state.Reader.
func (r *reader) Residues(ctx context.Context, namespace, requestUID string) ([]state.Residue, error) {
	return many(ctx, r, scanResidue, selectResidues, namespace, requestUID)
}

// OpenResidues implements state.Reader.
func (r *reader) OpenResidues(ctx context.Context, namespace string) (int64, error) {
	n, err := one(ctx, r, func(s scanner) (n int64, err error) { return n, s.Scan(&n) }, countOpen, namespace)
	if err != nil {
		return 0, err
	}
	return *n, nil
}

// DueResidues implements state.Reader.
func (r *reader) DueResidues(ctx context.Context, now time.Time, limit int) ([]state.Residue, error) {
	return many(ctx, r, scanResidue, selectDue, nanos(now), limit)
}

// ClaimOwner implements state.Reader.
func (r *reader) ClaimOwner(ctx context.Context, namespace, key string) (*state.Owner, error) {
	return one(ctx, r, scanOwner, selectClaim, namespace, key)
}

// Tombstone implements state.Reader.
func (r *reader) Tombstone(ctx context.Context, namespace, store, entity, mac string) (*state.Tombstone, error) {
	return one(ctx, r, func(s scanner) (state.Tombstone, error) {
		var at int64
		err := s.Scan(&at)
		return state.Tombstone{Namespace: namespace, Store: store, Entity: entity, MAC: mac, ErasedAt: fromNanos(at)}, err
	}, selectTombstone, namespace, store, entity, mac)
}

// Checkpoint implements state.Reader.
func (r *reader) Checkpoint(ctx context.Context, origin string) (*state.Checkpoint, error) {
	return one(ctx, r, func(s scanner) (state.Checkpoint, error) {
		c := state.Checkpoint{Origin: origin}
		err := s.Scan(&c.Size, &c.Root)
		return c, err
	}, selectCheckpoint, origin)
}

// The range of times that nanoseconds in 64 bits can hold.
var (
	earliest = time.Unix(0, math.MinInt64).UTC()
	latest   = time.Unix(0, math.MaxInt64).UTC()
)

// nanos is a time as it is stored. What lies outside the years 1677 to 2262 becomes the nearest that does not.
func nanos(t time.Time) int64 {
	switch {
	case t.Before(earliest):
		return math.MinInt64
	case t.After(latest):
		return math.MaxInt64
	default:
		return t.UnixNano()
	}
}

func fromNanos(n int64) time.Time { return time.Unix(0, n).UTC() }

func nullNanos(t *time.Time) any {
	if t == nil {
		return nil
	}
	return nanos(*t)
}
