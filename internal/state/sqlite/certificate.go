package statesqlite

import (
	"context"

	"github.com/lethe-dev/lethe/internal/state"
)

const (
	selectCertificate = `SELECT request_uid, number, namespace, entry_key, issued_at, body FROM certificates
		WHERE request_uid = ? ORDER BY number DESC LIMIT 1`
	insertCertificate = `INSERT INTO certificates (request_uid, number, namespace, entry_key, issued_at, body)
		VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
)

func scanCertificate(s scanner) (c state.Certificate, err error) {
	var at int64
	err = s.Scan(&c.RequestUID, &c.Number, &c.Namespace, &c.EntryKey, &at, &c.Body)
	c.IssuedAt = fromNanos(at)
	return c, err
}

// Certificate implements state.Reader.
func (r *reader) Certificate(ctx context.Context, requestUID string) (*state.Certificate, error) {
	return one(ctx, r, scanCertificate, selectCertificate, requestUID)
}

// PutCertificate implements state.Tx.
func (t *tx) PutCertificate(c state.Certificate) error {
	added, err := t.exec(insertCertificate, c.RequestUID, c.Number, c.Namespace, c.EntryKey, nanos(c.IssuedAt), c.Body)
	if err == nil && added == 0 {
		err = state.ErrConflict
	}
	return err
}
