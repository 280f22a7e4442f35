package statesqlite

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/lethe-dev/lethe/internal/state"
)

const (
	selectSchedule = `SELECT policy_uid, namespace, revision, body FROM schedules WHERE policy_uid = ?`
	insertSchedule = `INSERT INTO schedules (policy_uid, namespace, revision, body) VALUES (?, ?, 1, ?) ON CONFLICT DO NOTHING`
	updateSchedule = `UPDATE schedules SET revision = revision + 1, body = ? WHERE policy_uid = ? AND revision = ?`
	deleteSchedule = `DELETE FROM schedules WHERE policy_uid = ?`
)

func scanSchedule(s scanner) (r state.Schedule, err error) {
	var body []byte
	if err = s.Scan(&r.PolicyUID, &r.Namespace, &r.Revision, &body); err != nil {
		return r, err
	}
	err = decode(body, &r)
	return r, err
}

// Schedule implements state.Reader.
func (r *reader) Schedule(ctx context.Context, policyUID string) (*state.Schedule, error) {
	return one(ctx, r, scanSchedule, selectSchedule, policyUID)
}

// PutSchedule implements state.Tx.
func (t *tx) PutSchedule(s *state.Schedule) error {
	s.InUTC()
	body, err := json.Marshal(s)
	if err != nil {
		return errors.New("a schedule has no JSON form")
	}
	if s.Revision == 0 {
		return t.swap(&s.Revision, insertSchedule, s.PolicyUID, s.Namespace, string(body))
	}
	return t.swap(&s.Revision, updateSchedule, string(body), s.PolicyUID, s.Revision)
}

// DeleteSchedule implements state.Tx.
func (t *tx) DeleteSchedule(policyUID string) error {
	_, err := t.exec(deleteSchedule, policyUID)
	return err
}
