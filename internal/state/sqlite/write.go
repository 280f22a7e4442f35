package statesqlite

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/lethe-dev/lethe/internal/ledger"
	ledgersqlite "github.com/lethe-dev/lethe/internal/ledger/sqlite"
	"github.com/lethe-dev/lethe/internal/sqlitedb"
	"github.com/lethe-dev/lethe/internal/state"
)

// Kinds of sealed material.
const (
	sealedDeactivation = "deactivation"
	sealedRun          = "run"
	sealedResidue      = "residue"
)

// tx implements state.Tx.
type tx struct {
	reader
	ctx       context.Context // in a struct, because it lives exactly as long as the transaction
	inner     *sqlitedb.Tx
	log       *ledgersqlite.Log
	undo      []func()
	destroyed bool // something that must leave the write-ahead log
}

func (t *tx) exec(query string, args ...any) (changed int64, err error) {
	result, err := t.stmt(t.ctx, query).ExecContext(t.ctx, args...) //nolint:sqlclosecheck // its pool or transaction closes it
	if err != nil {
		return 0, fmt.Errorf("write state store: %w", err)
	}
	return result.RowsAffected()
}

// swap runs the statement of a compare-and-swap and raises the revision.
func (t *tx) swap(revision *int64, query string, args ...any) error {
	changed, err := t.exec(query, args...)
	if err != nil {
		return err
	}
	if changed == 0 {
		return state.ErrConflict
	}
	before := *revision
	t.undo = append(t.undo, func() { *revision = before })
	*revision++
	return nil
}

// putSealed writes sealed material if it is another than before, and removes it if it is empty.
func (t *tx) putSealed(kind, id string, text []byte, isNew bool) error {
	if isNew && len(text) == 0 {
		return nil
	}
	digest := sha256.Sum256(text)
	if !isNew {
		var before []byte
		err := t.stmt(t.ctx, selectDigest).QueryRowContext(t.ctx, kind, id).Scan(&before) //nolint:sqlclosecheck // its pool or transaction closes it
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("read state store: %w", err)
		}
		if bytes.Equal(before, digest[:]) || before == nil && len(text) == 0 {
			return nil
		}
		t.destroyed = t.destroyed || before != nil // replaced or removed
	}
	if len(text) == 0 {
		_, err := t.exec(deleteSealed, kind, id)
		return err
	}
	_, err := t.exec(upsertSealed, kind, id, digest[:], text)
	return err
}

// PutRequest implements state.Tx.
func (t *tx) PutRequest(r *state.Request) error {
	r.InUTC()
	body, err := json.Marshal(r)
	if err != nil {
		return errors.New("a request has no JSON form")
	}
	isNew := r.Revision == 0
	if isNew {
		err = t.swap(&r.Revision, insertRequest, r.UID, r.Namespace, r.Name, nullNanos(r.FinishedAt), r.SubjectPseudonym, string(body))
	} else {
		err = t.swap(&r.Revision, updateRequest, nullNanos(r.FinishedAt), r.SubjectPseudonym, string(body), r.UID, r.Revision)
	}
	if err != nil {
		return err
	}
	return t.putSealed(sealedDeactivation, r.UID, r.Deactivation, isNew)
}

// PutRun implements state.Tx.
func (t *tx) PutRun(r *state.Run) error {
	r.InUTC()
	body, err := json.Marshal(r)
	if err != nil {
		return errors.New("a run has no JSON form")
	}
	isNew := r.Revision == 0
	if isNew {
		err = t.swap(&r.Revision, insertRun, r.UID, r.Namespace, r.Name, string(body))
	} else {
		err = t.swap(&r.Revision, updateRun, string(body), r.UID, r.Revision)
	}
	if err != nil {
		return err
	}
	return t.putSealed(sealedRun, r.UID, r.Sealed, isNew)
}

// PutResidue implements state.Tx.
func (t *tx) PutResidue(r *state.Residue) error {
	switch r.State {
	case state.ResidueWaiting, state.ResidueRunning, state.ResidueDone:
	default:
		return errors.New("a residue needs a state")
	}
	r.InUTC()
	body, err := json.Marshal(r)
	if err != nil {
		return errors.New("a residue has no JSON form")
	}
	due := int64(math.MinInt64)
	if r.Until != nil {
		due = nanos(*r.Until)
	}
	pseudonym := r.SubjectPseudonym
	if r.State == state.ResidueDone {
		pseudonym = "" // nobody looks for the subject's holds any more
	}
	isNew := r.Revision == 0
	if isNew {
		err = t.swap(&r.Revision, insertResidue, r.ID, r.Namespace, r.RequestUID, pseudonym, r.State, due, string(body))
	} else {
		err = t.swap(&r.Revision, updateResidue, pseudonym, r.State, due, string(body), r.ID, r.Revision)
	}
	if err != nil {
		return err
	}
	t.destroyed = t.destroyed || pseudonym != r.SubjectPseudonym
	if err := t.putResidueHolds(r); err != nil {
		return err
	}
	return t.putSealed(sealedResidue, r.ID, r.Sealed, isNew)
}

func (t *tx) putResidueHolds(r *state.Residue) error {
	if _, err := t.exec(deleteResidueHolds, r.ID); err != nil {
		return err
	}
	for _, uid := range r.HoldUIDs {
		if _, err := t.exec(insertResidueHold, uid, r.ID); err != nil {
			return err
		}
	}
	_, err := t.exec(countResidueHolds, r.ID)
	return err
}

// Claim implements state.Tx.
func (t *tx) Claim(namespace string, keys []string, owner state.Owner) (*state.Owner, error) {
	// First all looks, then all writes: none is written if one is taken.
	var free []string
	for _, key := range keys {
		existing, err := t.ClaimOwner(t.ctx, namespace, key)
		switch {
		case errors.Is(err, state.ErrNotFound):
			free = append(free, key)
		case err != nil:
			return nil, err
		case existing.UID != owner.UID:
			return existing, nil
		}
	}
	for _, key := range free {
		if _, err := t.exec(insertClaim, namespace, key, owner.UID, owner.Name); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// ReleaseClaims implements state.Tx.
func (t *tx) ReleaseClaims(uid string) error {
	released, err := t.exec(releaseClaims, uid)
	t.destroyed = t.destroyed || released > 0 // a claim is a pseudonym
	return err
}

// LiftHold implements state.Tx.
func (t *tx) LiftHold(uid string, at time.Time) error {
	changed, err := t.exec(liftHold, nanos(at), uid)
	if err != nil {
		return err
	}
	if changed == 0 {
		_, err := t.Hold(t.ctx, uid) // lifted before, or not there
		return err
	}
	_, err = t.exec(countHoldResidues, uid)
	return err
}

// PutTombstones implements state.Tx.
func (t *tx) PutTombstones(tombstones []state.Tombstone) error {
	for _, s := range tombstones {
		if _, err := t.exec(upsertTombstone, s.Namespace, s.Store, s.Entity, s.MAC, nanos(s.ErasedAt)); err != nil {
			return err
		}
	}
	return nil
}

// Append implements state.Tx.
func (t *tx) Append(origin string, entries ...ledger.Entry) (*ledger.Receipt, error) {
	receipt, err := t.log.AppendTx(t.ctx, t.inner, origin, entries...)
	if err != nil || receipt.Appended == 0 {
		return receipt, err
	}
	newer, err := t.exec(upsertCheckpoint, origin, int64(receipt.Checkpoint.Size), receipt.Checkpoint.Root)
	if err == nil && newer == 0 {
		err = ledger.ErrTruncated // a longer log is known
	}
	return receipt, err
}

// DestroySubjectLink implements state.Tx.
func (t *tx) DestroySubjectLink(requestUID string) error {
	t.destroyed = true
	_, err := t.exec(unlinkRequest, requestUID)
	return err
}
