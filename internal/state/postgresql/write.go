package statepostgresql

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lethe-dev/lethe/internal/ledger"
	ledgerpostgresql "github.com/lethe-dev/lethe/internal/ledger/postgresql"
	"github.com/lethe-dev/lethe/internal/pgdb"
	"github.com/lethe-dev/lethe/internal/state"
)

// Kinds of sealed material.
const (
	sealedDeactivation = "deactivation"
	sealedRun          = "run"
	sealedResidue      = "residue"
)

// maxBlind is the greatest length of sealed material that is sent without asking first whether the database has it already.
const maxBlind = 32 << 10

// tx implements state.Tx. Statements whose result nobody waits for travel with the next one that somebody waits for, so that a
// conflict may be an error of Update.
type tx struct {
	reader
	ctx       context.Context // in a struct, because it lives exactly as long as the transaction
	inner     *pgdb.Tx
	log       *ledgerpostgresql.Log
	undo      []func()
	destroyed []string // tables with dead rows that must go
}

func (t *tx) exec(query string, args ...any) { t.inner.Exec(query, nil, args...) }

// must runs a statement that changes nothing if somebody else was first.
func (t *tx) must(query string, args ...any) {
	t.inner.Exec(query, func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() == 0 {
			return state.ErrConflict
		}
		return nil
	}, args...)
}

// swap runs the statement of a compare-and-swap and raises the revision.
func (t *tx) swap(revision *int64, query string, args ...any) {
	t.must(query, args...)
	before := *revision
	t.undo = append(t.undo, func() { *revision = before })
	*revision++
}

// destroys notes that a statement leaves dead rows which must go, if it has changed anything.
func (t *tx) destroys(table, query string, args ...any) {
	t.inner.Exec(query, func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() > 0 {
			t.destroyed = append(t.destroyed, table)
		}
		return nil
	}, args...)
}

// putSealed writes sealed material if it is another than before, and removes it if it is empty.
func (t *tx) putSealed(kind, id string, text []byte, isNew bool) error {
	if len(text) == 0 {
		if !isNew {
			t.destroys("sealed", deleteSealed, kind, id)
		}
		return nil
	}
	digest := sha256.Sum256(text)
	if isNew {
		t.exec(upsertSealed, kind, id, digest[:], text)
		return nil
	}
	if len(text) > maxBlind {
		before, err := many(t.ctx, &t.reader, func(rows pgx.Rows) (d []byte, err error) { return d, rows.Scan(&d) }, selectDigest, kind, id)
		if err != nil || len(before) == 1 && bytes.Equal(before[0], digest[:]) {
			return err
		}
	}
	t.destroys("sealed", upsertSealed, kind, id, digest[:], text)
	return nil
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
		t.swap(&r.Revision, insertRequest, r.UID, r.Namespace, r.Name, nullNanos(r.FinishedAt), r.SubjectPseudonym, string(body))
	} else {
		t.swap(&r.Revision, updateRequest, nullNanos(r.FinishedAt), r.SubjectPseudonym, string(body), r.UID, r.Revision)
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
		t.swap(&r.Revision, insertRun, r.UID, r.Namespace, r.Name, string(body))
	} else {
		t.swap(&r.Revision, updateRun, string(body), r.UID, r.Revision)
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
		t.destroyed = append(t.destroyed, "residues")
	}
	isNew := r.Revision == 0
	if isNew {
		t.swap(&r.Revision, insertResidue, r.ID, r.Namespace, r.RequestUID, pseudonym, r.State, due, string(body))
	} else {
		t.swap(&r.Revision, updateResidue, pseudonym, r.State, due, string(body), r.ID, r.Revision)
	}
	t.exec(deleteResidueHolds, r.ID)
	if len(r.HoldUIDs) > 0 {
		t.exec(insertResidueHolds, r.HoldUIDs, r.ID)
	}
	t.exec(countResidueHolds, r.ID)
	return t.putSealed(sealedResidue, r.ID, r.Sealed, isNew)
}

// Claim implements state.Tx.
func (t *tx) Claim(namespace string, keys []string, owner state.Owner) (*state.Owner, error) {
	taken, err := many(t.ctx, &t.reader, scanClaim, selectClaims, namespace, keys)
	if err != nil {
		return nil, err
	}
	owners := map[string]state.Owner{}
	for _, c := range taken {
		owners[c.key] = c.Owner
	}
	var free []string
	for _, key := range keys {
		existing, ok := owners[key]
		switch {
		case !ok:
			free = append(free, key)
		case existing.UID != owner.UID:
			return &existing, nil
		}
	}
	if len(free) > 0 {
		t.exec(insertClaims, namespace, free, owner.UID, owner.Name)
	}
	return nil, nil
}

// ReleaseClaims implements state.Tx.
func (t *tx) ReleaseClaims(uid string) error {
	t.destroys("claims", releaseClaims, uid) // a claim is a pseudonym
	return nil
}

// putHold adds a hold or changes one in force.
func (t *tx) putHold(hold state.Hold) error {
	hold.InUTC()
	before, err := t.Hold(t.ctx, hold.UID)
	if err == nil {
		err = hold.Replace(before)
	} else if errors.Is(err, state.ErrNotFound) {
		err = nil
	}
	if err != nil {
		return err
	}
	body, err := json.Marshal(hold)
	if err != nil {
		return err
	}
	t.exec(upsertHold, hold.UID, hold.Namespace, hold.Name, string(body))
	return nil
}

// LiftHold implements state.Tx.
func (t *tx) LiftHold(uid string, at time.Time) error {
	hold, err := t.Hold(t.ctx, uid)
	if err != nil || hold.LiftedAt != nil {
		return err
	}
	t.exec(liftHold, nanos(at), uid)
	t.exec(countHoldResidues, uid)
	return nil
}

// PutTombstones implements state.Tx.
func (t *tx) PutTombstones(tombstones []state.Tombstone) error {
	var columns [4][]string
	var times []int64
	for _, s := range tombstones {
		for i, text := range [...]string{s.Namespace, s.Store, s.Entity, s.MAC} {
			columns[i] = append(columns[i], text)
		}
		times = append(times, nanos(s.ErasedAt))
	}
	if len(times) > 0 {
		t.exec(upsertTombstones, columns[0], columns[1], columns[2], columns[3], times)
	}
	return nil
}

// PutSchemaBaseline implements state.Tx.
func (t *tx) PutSchemaBaseline(b state.SchemaBaseline) error {
	t.exec(upsertBaseline, b.MapUID, b.Namespace, b.Generation, b.Tables)
	return nil
}

// DeleteSchemaBaseline implements state.Tx.
func (t *tx) DeleteSchemaBaseline(mapUID string) error {
	t.exec(deleteBaseline, mapUID)
	return nil
}

// PutCertificate implements state.Tx.
func (t *tx) PutCertificate(c state.Certificate) error {
	t.must(insertCertificate, c.RequestUID, c.Number, c.Namespace, c.EntryKey, nanos(c.IssuedAt), c.Body)
	return nil
}

// Append implements state.Tx.
func (t *tx) Append(origin string, entries ...ledger.Entry) (*ledger.Receipt, error) {
	receipt, err := t.log.AppendTx(t.ctx, t.inner, origin, entries...)
	if err != nil || receipt.Appended == 0 {
		return receipt, err
	}
	t.inner.Exec(upsertCheckpoint, func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() == 0 {
			return ledger.ErrTruncated // a longer log is known
		}
		return nil
	}, origin, int64(receipt.Checkpoint.Size), receipt.Checkpoint.Root)
	return receipt, nil
}

// DestroySubjectLink implements state.Tx.
func (t *tx) DestroySubjectLink(requestUID string) error {
	t.destroys("requests", unlinkRequest, requestUID)
	return nil
}
