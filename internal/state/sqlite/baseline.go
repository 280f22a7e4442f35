package statesqlite

import (
	"context"

	"github.com/lethe-dev/lethe/internal/state"
)

const (
	selectBaseline = `SELECT map_uid, namespace, generation, tables FROM schema_baselines WHERE map_uid = ?`
	upsertBaseline = `INSERT INTO schema_baselines (map_uid, namespace, generation, tables) VALUES (?, ?, ?, ?)
		ON CONFLICT (map_uid) DO UPDATE SET generation = excluded.generation, tables = excluded.tables`
	deleteBaseline = `DELETE FROM schema_baselines WHERE map_uid = ?`
)

func scanBaseline(s scanner) (b state.SchemaBaseline, err error) {
	return b, s.Scan(&b.MapUID, &b.Namespace, &b.Generation, &b.Tables)
}

// SchemaBaseline implements state.Reader.
func (r *reader) SchemaBaseline(ctx context.Context, mapUID string) (*state.SchemaBaseline, error) {
	return one(ctx, r, scanBaseline, selectBaseline, mapUID)
}

// PutSchemaBaseline implements state.Tx.
func (t *tx) PutSchemaBaseline(b state.SchemaBaseline) error {
	_, err := t.exec(upsertBaseline, b.MapUID, b.Namespace, b.Generation, b.Tables)
	return err
}

// DeleteSchemaBaseline implements state.Tx.
func (t *tx) DeleteSchemaBaseline(mapUID string) error {
	_, err := t.exec(deleteBaseline, mapUID)
	return err
}
