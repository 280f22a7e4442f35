package statepostgresql

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-dev/lethe/internal/state"
)

const (
	selectSchedule = `SELECT policy_uid, namespace, revision, body FROM schedules WHERE policy_uid = $1`
	insertSchedule = `INSERT INTO schedules (policy_uid, namespace, revision, body) VALUES ($1, $2, 1, $3) ON CONFLICT DO NOTHING`
	updateSchedule = `UPDATE schedules SET revision = revision + 1, body = $1 WHERE policy_uid = $2 AND revision = $3`
	deleteSchedule = `DELETE FROM schedules WHERE policy_uid = $1`
)

// Schedule implements state.Reader.
func (r *reader) Schedule(ctx context.Context, policyUID string) (*state.Schedule, error) {
	return one(ctx, r, func(rows pgx.Rows) (s state.Schedule, err error) {
		var body []byte
		if err = rows.Scan(&s.PolicyUID, &s.Namespace, &s.Revision, &body); err != nil {
			return s, err
		}
		err = decode(body, &s)
		return s, err
	}, selectSchedule, policyUID)
}

// PutSchedule implements state.Tx.
func (t *tx) PutSchedule(s *state.Schedule) error {
	s.InUTC()
	body, err := json.Marshal(s)
	if err != nil {
		return errors.New("a schedule has no JSON form")
	}
	if s.Revision == 0 {
		t.swap(&s.Revision, insertSchedule, s.PolicyUID, s.Namespace, string(body))
		return nil
	}
	t.swap(&s.Revision, updateSchedule, string(body), s.PolicyUID, s.Revision)
	return nil
}

// DeleteSchedule implements state.Tx.
func (t *tx) DeleteSchedule(policyUID string) error {
	t.exec(deleteSchedule, policyUID)
	return nil
}
