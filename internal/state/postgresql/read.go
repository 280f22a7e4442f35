package statepostgresql

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-dev/lethe/internal/state"
)

// reader implements state.Reader, inside a transaction and outside.
type reader struct {
	query func(ctx context.Context, read func(pgx.Rows) error, sql string, args ...any) error
}

// one reads one record with scan.
func one[T any](ctx context.Context, r *reader, scan func(pgx.Rows) (T, error), query string, args ...any) (*T, error) {
	list, err := many(ctx, r, scan, query, args...)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, state.ErrNotFound
	}
	return &list[0], nil
}

// many reads a list.
func many[T any](ctx context.Context, r *reader, scan func(pgx.Rows) (T, error), query string, args ...any) (list []T, _ error) {
	err := r.query(ctx, func(rows pgx.Rows) error {
		for rows.Next() {
			record, err := scan(rows)
			if err != nil {
				return err
			}
			list = append(list, record)
		}
		return rows.Err()
	}, query, args...)
	return list, translate("read state store", err)
}

// decode reads a body; its error must not show the text.
func decode(body []byte, into any) error {
	if json.Unmarshal(body, into) != nil {
		return errors.New("a record's body is damaged")
	}
	return nil
}

func scanRequest(rows pgx.Rows) (r state.Request, err error) {
	var body []byte
	if err = rows.Scan(&r.UID, &r.Namespace, &r.Name, &r.Revision, &r.SubjectPseudonym, &body, &r.Deactivation); err != nil {
		return r, err
	}
	return r, decode(body, &r)
}

func scanRun(rows pgx.Rows) (r state.Run, err error) {
	var body []byte
	if err = rows.Scan(&r.UID, &r.Namespace, &r.Name, &r.Revision, &body, &r.Sealed); err != nil {
		return r, err
	}
	return r, decode(body, &r)
}

// scanHold returns nil for a row without a hold.
func scanHold(rows pgx.Rows, epoch *int64) (*state.Hold, error) {
	var uid, namespace, name *string
	var lifted *int64
	var body []byte
	if err := rows.Scan(&uid, &namespace, &name, &lifted, &body, epoch); err != nil || uid == nil {
		return nil, err
	}
	h := &state.Hold{UID: *uid, Namespace: *namespace, Name: *name}
	if lifted != nil {
		at := fromNanos(*lifted)
		h.LiftedAt = &at
	}
	return h, decode(body, h)
}

// scanHolds reads holds and the number that stands beside each of them; -1 without any row.
func scanHolds(rows pgx.Rows) (holds []state.Hold, beside int64, err error) {
	beside = -1
	for rows.Next() {
		h, err := scanHold(rows, &beside)
		if err != nil {
			return nil, beside, err
		}
		if h != nil {
			holds = append(holds, *h)
		}
	}
	return holds, beside, rows.Err()
}

func scanOneHold(rows pgx.Rows) (h state.Hold, err error) {
	var epoch int64
	p, err := scanHold(rows, &epoch)
	if err != nil {
		return h, err
	}
	return *p, nil
}

func scanResidue(rows pgx.Rows) (r state.Residue, err error) {
	var body []byte
	if err = rows.Scan(&r.ID, &r.Namespace, &r.Revision, &r.RequestUID, &r.SubjectPseudonym, &r.State, &body, &r.Sealed); err != nil {
		return r, err
	}
	return r, decode(body, &r)
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
	return one(ctx, r, scanOneHold, selectHold, uid)
}

// Holds implements state.Reader.
func (r *reader) Holds(ctx context.Context, namespace string) ([]state.Hold, error) {
	return many(ctx, r, scanOneHold, selectHolds, namespace)
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
	n, err := one(ctx, r, rowToInt64, countOpen, namespace)
	if err != nil {
		return 0, err
	}
	return *n, nil
}

func rowToInt64(rows pgx.Rows) (n int64, err error) { return n, rows.Scan(&n) }

// DueResidues implements state.Reader.
func (r *reader) DueResidues(ctx context.Context, now time.Time, limit int) ([]state.Residue, error) {
	return many(ctx, r, scanResidue, selectDue, nanos(now), limit)
}

// claim is a key with its owner.
type claim struct {
	key string
	state.Owner
}

func scanClaim(rows pgx.Rows) (c claim, err error) { return c, rows.Scan(&c.key, &c.UID, &c.Name) }

// ClaimOwner implements state.Reader.
func (r *reader) ClaimOwner(ctx context.Context, namespace, key string) (*state.Owner, error) {
	c, err := one(ctx, r, scanClaim, selectClaims, namespace, []string{key})
	if err != nil {
		return nil, err
	}
	return &c.Owner, nil
}

// Tombstone implements state.Reader.
func (r *reader) Tombstone(ctx context.Context, namespace, store, entity, mac string) (*state.Tombstone, error) {
	at, err := one(ctx, r, rowToInt64, selectTombstone, namespace, store, entity, mac)
	if err != nil {
		return nil, err
	}
	return &state.Tombstone{Namespace: namespace, Store: store, Entity: entity, MAC: mac, ErasedAt: fromNanos(*at)}, nil
}

// SchemaBaseline implements state.Reader.
func (r *reader) SchemaBaseline(ctx context.Context, mapUID string) (*state.SchemaBaseline, error) {
	return one(ctx, r, func(rows pgx.Rows) (b state.SchemaBaseline, err error) {
		return b, rows.Scan(&b.MapUID, &b.Namespace, &b.Generation, &b.Tables)
	}, selectBaseline, mapUID)
}

// Certificate implements state.Reader.
func (r *reader) Certificate(ctx context.Context, requestUID string) (*state.Certificate, error) {
	return one(ctx, r, func(rows pgx.Rows) (c state.Certificate, err error) {
		var at int64
		err = rows.Scan(&c.RequestUID, &c.Number, &c.Namespace, &c.EntryKey, &at, &c.Body)
		c.IssuedAt = fromNanos(at)
		return c, err
	}, selectCertificate, requestUID)
}

// Checkpoint implements state.Reader.
func (r *reader) Checkpoint(ctx context.Context, origin string) (*state.Checkpoint, error) {
	return one(ctx, r, func(rows pgx.Rows) (state.Checkpoint, error) {
		c := state.Checkpoint{Origin: origin}
		return c, rows.Scan(&c.Size, &c.Root)
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
