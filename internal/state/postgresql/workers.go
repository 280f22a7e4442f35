package statepostgresql

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/pgdb"
	"github.com/lethe-dev/lethe/internal/state"
)

// drained is how many entries of the outbox are taken over in one transaction.
const drained = 500

const (
	// The epoch of whoever writes now: what was said before is void.
	leased = `EXISTS (SELECT 1 FROM sweep_leases l JOIN store_identity i ON i.epoch = l.epoch
		WHERE l.run_uid = $1 AND l.job = $2 AND l.expires_at > clock_timestamp())`
	selectLeased = `SELECT ` + leased
	// One row without a hold where there is none.
	selectHoldsAndLease = `SELECT ` + holdColumns + `, (` + leased + `)::int::bigint FROM store_identity i
		LEFT JOIN holds h ON h.namespace = $3 AND h.lifted_at IS NULL ORDER BY h.uid COLLATE "C"`
	upsertLease = `INSERT INTO sweep_leases AS l (run_uid, job, epoch, expires_at)
		SELECT $1, $2, epoch, clock_timestamp() + $3::bigint * interval '1 millisecond' FROM store_identity
		ON CONFLICT (run_uid) DO UPDATE SET job = excluded.job, epoch = excluded.epoch, expires_at = excluded.expires_at`
	deleteLease  = `DELETE FROM sweep_leases WHERE run_uid = $1`
	insertOutbox = `INSERT INTO outbox (run_uid, entry) SELECT $1, e FROM unnest($2::text[]) WITH ORDINALITY AS n(e, place) ORDER BY place`
	selectOutbox = `SELECT id, entry FROM outbox WHERE run_uid = $1 ORDER BY id LIMIT $2`
	deleteOutbox = `DELETE FROM outbox WHERE id = ANY($1)`
)

var _ state.Delegator = (*Store)(nil)

// Lease implements state.Delegator.
func (s *Store) Lease(ctx context.Context, runUID, job string, d time.Duration) error {
	return s.Update(ctx, func(t state.Tx) error {
		t.(*tx).exec(upsertLease, runUID, job, d.Milliseconds())
		return nil
	})
}

// Withdraw implements state.Delegator.
func (s *Store) Withdraw(ctx context.Context, runUID string) error {
	var done error
	err := s.db.Exclude(ctx, runGuard(runUID), func(ctx context.Context) error {
		done = s.Update(ctx, func(t state.Tx) error {
			t.(*tx).exec(deleteLease, runUID)
			return nil
		})
		return done
	})
	if done != nil {
		return done
	}
	return translate("withdraw a lease", err)
}

// outgoing is an entry of the outbox.
type outgoing struct {
	id    int64
	entry ledger.Entry
}

func scanOutgoing(rows pgx.Rows) (o outgoing, err error) {
	var body []byte
	if err = rows.Scan(&o.id, &body); err != nil {
		return o, err
	}
	return o, decode(body, &o.entry)
}

// Drain implements state.Delegator.
func (s *Store) Drain(ctx context.Context, namespace, runUID string) error {
	for more := true; more; {
		err := s.Update(ctx, func(t state.Tx) error {
			inner := t.(*tx)
			list, err := many(inner.ctx, &inner.reader, scanOutgoing, selectOutbox, runUID, drained)
			more = len(list) == drained
			if err != nil || len(list) == 0 {
				return err
			}
			ids, entries := make([]int64, len(list)), make([]ledger.Entry, len(list))
			for i, o := range list {
				ids[i], entries[i] = o.id, o.entry
			}
			if _, err := t.Append(namespace, entries...); err != nil {
				return err
			}
			inner.exec(deleteOutbox, ids)
			inner.destroyed = append(inner.destroyed, "sealed") // the workers' own writes left dead rows there
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func runGuard(runUID string) string { return "sweep/" + runUID }

// Worker is the state store for a process that works on the shards of one run. It reads, writes shards of that run, and leaves
// entries in the outbox; the ledger is not its own to write.
type Worker struct {
	reader
	db          *pgdb.Helper
	runUID, job string
}

var _ state.Worker = (*Worker)(nil)

// NewWorker makes the state store of a worker of a run's Job.
func NewWorker(db *pgdb.Helper, runUID, job string) *Worker {
	return &Worker{reader: reader{db.Query}, db: db, runUID: runUID, job: job}
}

// Leased implements state.Worker.
func (w *Worker) Leased(ctx context.Context) error {
	ok, err := one(ctx, &w.reader, func(rows pgx.Rows) (ok bool, err error) { return ok, rows.Scan(&ok) }, selectLeased, w.runUID, w.job)
	if err == nil && !*ok {
		err = state.ErrLapsed
	}
	return err
}

// WithHolds implements state.Worker.
func (w *Worker) WithHolds(ctx context.Context, namespace string, fn func(context.Context, []state.Hold) error) error {
	var holds []state.Hold
	look := func(rows pgx.Rows) error {
		found, valid, err := scanHolds(rows)
		if err != nil {
			return err
		}
		holds = found
		if valid != 1 {
			return state.ErrLapsed
		}
		return nil
	}
	var acted error
	err := w.db.Guard(ctx, []string{runGuard(w.runUID), holdsGuard(namespace)}, look, selectHoldsAndLease, []any{w.runUID, w.job, namespace}, func(ctx context.Context) error {
		acted = fn(ctx, holds)
		return acted
	})
	if acted != nil {
		return acted
	}
	return translate("read holds", err)
}

// PutShard implements state.Worker.
func (w *Worker) PutShard(ctx context.Context, r *state.Run, entries []ledger.Entry, intent bool) error {
	if r.Shard == nil || r.Shard.RunUID != w.runUID || r.Revision == 0 {
		return errors.New("a worker writes shards of its own run, which the operator has made")
	}
	r.InUTC()
	body, err := json.Marshal(r)
	if err != nil {
		return errors.New("a shard has no JSON form")
	}
	texts := make([]string, len(entries))
	for i, e := range entries {
		text, err := json.Marshal(e)
		if err != nil {
			return errors.New("an entry has no JSON form")
		}
		texts[i] = string(text)
	}
	err = w.db.Write(ctx, func(tx pgx.Tx) error { return w.put(ctx, tx, r, string(body), texts, intent) })
	if err != nil {
		return translate("write a shard", err)
	}
	r.Revision++
	return nil
}

func (w *Worker) put(ctx context.Context, tx pgx.Tx, r *state.Run, body string, entries []string, intent bool) error {
	if intent {
		var ok bool
		if err := tx.QueryRow(ctx, selectLeased, w.runUID, w.job).Scan(&ok); err != nil {
			return err
		}
		if !ok {
			return state.ErrLapsed
		}
	}
	tag, err := tx.Exec(ctx, updateRun, body, r.UID, r.Revision)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return state.ErrConflict
	}
	digest := sha256.Sum256(r.Sealed)
	if _, err := tx.Exec(ctx, upsertSealed, sealedRun, r.UID, digest[:], r.Sealed); err != nil {
		return err
	}
	if len(entries) > 0 {
		_, err = tx.Exec(ctx, insertOutbox, w.runUID, entries)
	}
	return err
}
