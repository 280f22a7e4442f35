package statepostgresql

const (
	requestColumns = `r.uid, r.namespace, r.name, r.revision, r.subject_pseudonym, r.body,
		(SELECT text FROM sealed WHERE kind = 'deactivation' AND id = r.uid)`
	selectRequest  = `SELECT ` + requestColumns + ` FROM requests r WHERE r.uid = $1`
	selectFinished = `SELECT ` + requestColumns + ` FROM requests r
		WHERE r.namespace = $1 AND r.name = $2 AND r.finished_at IS NOT NULL AND r.uid <> $3 ORDER BY r.finished_at DESC LIMIT 1`
	selectRun = `SELECT r.uid, r.namespace, r.name, r.revision, r.body,
		(SELECT text FROM sealed WHERE kind = 'run' AND id = r.uid) FROM runs r WHERE r.uid = $1`
	holdColumns = `h.uid, h.namespace, h.name, h.lifted_at, h.body`
	selectHold  = `SELECT ` + holdColumns + `, 0::bigint FROM holds h WHERE h.uid = $1`
	selectHolds = `SELECT ` + holdColumns + `, 0::bigint FROM holds h WHERE h.namespace = $1 AND h.lifted_at IS NULL ORDER BY h.uid COLLATE "C"`
	// One row without a hold where there is none.
	selectHoldsAndEpoch = `SELECT ` + holdColumns + `, i.epoch FROM store_identity i
		LEFT JOIN holds h ON h.namespace = $1 AND h.lifted_at IS NULL ORDER BY h.uid COLLATE "C"`

	residueColumns = `r.id, r.namespace, r.revision, r.request_uid, r.subject_pseudonym, r.state, r.body`
	residueSealed  = `(SELECT text FROM sealed WHERE kind = 'residue' AND id = r.id)`
	selectResidue  = `SELECT ` + residueColumns + `, ` + residueSealed + ` FROM residues r WHERE r.id = $1`
	selectResidues = `SELECT ` + residueColumns + `, ` + residueSealed + ` FROM residues r
		WHERE r.namespace = $1 AND r.request_uid = $2 ORDER BY r.id COLLATE "C"`
	countOpen = `SELECT COUNT(*) FROM residues WHERE namespace = $1 AND state <> 'Done'`
	selectDue = `SELECT ` + residueColumns + `, NULL::bytea FROM residues r
		WHERE r.state <> 'Done' AND r.open_holds = 0 AND r.due_at <= $1 ORDER BY r.due_at LIMIT $2`

	selectClaims      = `SELECT key, owner_uid, owner_name FROM claims WHERE namespace = $1 AND key = ANY($2)`
	selectTombstone   = `SELECT erased_at FROM tombstones WHERE namespace = $1 AND store = $2 AND entity = $3 AND mac = $4`
	selectBaseline    = `SELECT map_uid, namespace, generation, tables FROM schema_baselines WHERE map_uid = $1`
	selectCertificate = `SELECT request_uid, number, namespace, entry_key, issued_at, body FROM certificates
		WHERE request_uid = $1 ORDER BY number DESC LIMIT 1`
	selectCheckpoint = `SELECT size, root FROM checkpoints WHERE origin = $1`
	selectDigest     = `SELECT digest FROM sealed WHERE kind = $1 AND id = $2`

	insertRequest = `INSERT INTO requests (uid, namespace, name, revision, finished_at, subject_pseudonym, body)
		VALUES ($1, $2, $3, 1, $4, $5, $6) ON CONFLICT DO NOTHING`
	updateRequest = `UPDATE requests SET revision = revision + 1, finished_at = $1,
		subject_pseudonym = CASE WHEN link_destroyed THEN '' ELSE $2 END, body = $3 WHERE uid = $4 AND revision = $5`
	insertRun     = `INSERT INTO runs (uid, namespace, name, revision, body) VALUES ($1, $2, $3, 1, $4) ON CONFLICT DO NOTHING`
	updateRun     = `UPDATE runs SET revision = revision + 1, body = $1 WHERE uid = $2 AND revision = $3`
	insertResidue = `INSERT INTO residues (id, namespace, revision, request_uid, subject_pseudonym, state, due_at, open_holds, body)
		VALUES ($1, $2, 1, $3, $4, $5, $6, 0, $7) ON CONFLICT DO NOTHING`
	updateResidue = `UPDATE residues SET revision = revision + 1, subject_pseudonym = $1, state = $2, due_at = $3, body = $4
		WHERE id = $5 AND revision = $6`
	deleteResidueHolds = `DELETE FROM residue_holds WHERE residue_id = $1`
	insertResidueHolds = `INSERT INTO residue_holds (hold_uid, residue_id) SELECT unnest($1::text[]), $2 ON CONFLICT DO NOTHING`
	// A hold that is not known is not known to be lifted.
	openHolds = `(SELECT COUNT(*) FROM residue_holds rh LEFT JOIN holds h ON h.uid = rh.hold_uid
		WHERE rh.residue_id = residues.id AND h.lifted_at IS NULL)`
	countResidueHolds = `UPDATE residues SET open_holds = ` + openHolds + ` WHERE id = $1`
	countHoldResidues = `UPDATE residues SET open_holds = ` + openHolds + `
		WHERE id IN (SELECT residue_id FROM residue_holds WHERE hold_uid = $1)`

	upsertSealed = `INSERT INTO sealed AS s (kind, id, digest, text) VALUES ($1, $2, $3, $4)
		ON CONFLICT (kind, id) DO UPDATE SET digest = excluded.digest, text = excluded.text WHERE s.digest <> excluded.digest`
	deleteSealed = `DELETE FROM sealed WHERE kind = $1 AND id = $2`

	upsertHold = `INSERT INTO holds (uid, namespace, name, body) VALUES ($1, $2, $3, $4)
		ON CONFLICT (uid) DO UPDATE SET name = excluded.name, body = excluded.body`
	liftHold = `UPDATE holds SET lifted_at = $1 WHERE uid = $2 AND lifted_at IS NULL`

	insertClaims  = `INSERT INTO claims (namespace, key, owner_uid, owner_name) SELECT $1, unnest($2::text[]), $3, $4 ON CONFLICT DO NOTHING`
	releaseClaims = `DELETE FROM claims WHERE owner_uid = $1`

	// The later of several for one record: a statement may change a row once.
	upsertTombstones = `INSERT INTO tombstones AS t (namespace, store, entity, mac, erased_at)
		SELECT namespace, store, entity, mac, max(erased_at)
		FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[]) AS n(namespace, store, entity, mac, erased_at)
		GROUP BY namespace, store, entity, mac
		ON CONFLICT (namespace, store, entity, mac) DO UPDATE SET erased_at = greatest(t.erased_at, excluded.erased_at)`
	upsertCheckpoint = `INSERT INTO checkpoints AS c (origin, size, root) VALUES ($1, $2, $3)
		ON CONFLICT (origin) DO UPDATE SET size = excluded.size, root = excluded.root WHERE excluded.size > c.size`

	upsertBaseline = `INSERT INTO schema_baselines (map_uid, namespace, generation, tables) VALUES ($1, $2, $3, $4)
		ON CONFLICT (map_uid) DO UPDATE SET generation = excluded.generation, tables = excluded.tables`
	insertCertificate = `INSERT INTO certificates (request_uid, number, namespace, entry_key, issued_at, body)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`
	deleteBaseline = `DELETE FROM schema_baselines WHERE map_uid = $1`

	unlinkRequest = `UPDATE requests SET subject_pseudonym = '', link_destroyed = true WHERE uid = $1`
)
