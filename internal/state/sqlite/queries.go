package statesqlite

const (
	requestColumns = `r.uid, r.namespace, r.name, r.revision, r.subject_pseudonym, r.body,
		(SELECT text FROM sealed WHERE kind = 'deactivation' AND id = r.uid)`
	selectRequest  = `SELECT ` + requestColumns + ` FROM requests r WHERE r.uid = ?`
	selectFinished = `SELECT ` + requestColumns + ` FROM requests r
		WHERE r.namespace = ? AND r.name = ? AND r.finished_at IS NOT NULL AND r.uid <> ? ORDER BY r.finished_at DESC LIMIT 1`
	selectRun = `SELECT r.uid, r.namespace, r.name, r.revision, r.body,
		(SELECT text FROM sealed WHERE kind = 'run' AND id = r.uid) FROM runs r WHERE r.uid = ?`
	selectHold  = `SELECT uid, namespace, name, lifted_at, body FROM holds WHERE uid = ?`
	selectHolds = `SELECT uid, namespace, name, lifted_at, body FROM holds WHERE namespace = ? AND lifted_at IS NULL ORDER BY uid`

	residueColumns = `r.id, r.namespace, r.revision, r.request_uid, r.subject_pseudonym, r.state, r.body`
	residueSealed  = `(SELECT text FROM sealed WHERE kind = 'residue' AND id = r.id)`
	selectResidue  = `SELECT ` + residueColumns + `, ` + residueSealed + ` FROM residues r WHERE r.id = ?`
	selectResidues = `SELECT ` + residueColumns + `, ` + residueSealed + ` FROM residues r
		WHERE r.namespace = ? AND r.request_uid = ? ORDER BY r.id`
	countOpen = `SELECT COUNT(*) FROM residues WHERE namespace = ? AND state <> 'Done'`
	selectDue = `SELECT ` + residueColumns + `, NULL FROM residues r
		WHERE r.state <> 'Done' AND r.open_holds = 0 AND r.due_at <= ? ORDER BY r.due_at LIMIT ?`

	selectEpoch      = `SELECT epoch FROM store_identity`
	selectClaim      = `SELECT owner_uid, owner_name FROM claims WHERE namespace = ? AND key = ?`
	selectTombstone  = `SELECT erased_at FROM tombstones WHERE namespace = ? AND store = ? AND entity = ? AND mac = ?`
	selectCheckpoint = `SELECT size, root FROM checkpoints WHERE origin = ?`
	selectDigest     = `SELECT digest FROM sealed WHERE kind = ? AND id = ?`

	insertRequest = `INSERT INTO requests (uid, namespace, name, revision, finished_at, subject_pseudonym, body)
		VALUES (?, ?, ?, 1, ?, ?, ?) ON CONFLICT DO NOTHING`
	updateRequest = `UPDATE requests SET revision = revision + 1, finished_at = ?,
		subject_pseudonym = CASE WHEN link_destroyed THEN '' ELSE ? END, body = ? WHERE uid = ? AND revision = ?`
	insertRun     = `INSERT INTO runs (uid, namespace, name, revision, body) VALUES (?, ?, ?, 1, ?) ON CONFLICT DO NOTHING`
	updateRun     = `UPDATE runs SET revision = revision + 1, body = ? WHERE uid = ? AND revision = ?`
	insertResidue = `INSERT INTO residues (id, namespace, revision, request_uid, subject_pseudonym, state, due_at, open_holds, body)
		VALUES (?, ?, 1, ?, ?, ?, ?, 0, ?) ON CONFLICT DO NOTHING`
	updateResidue = `UPDATE residues SET revision = revision + 1, subject_pseudonym = ?, state = ?, due_at = ?, body = ?
		WHERE id = ? AND revision = ?`
	deleteResidueHolds = `DELETE FROM residue_holds WHERE residue_id = ?`
	insertResidueHold  = `INSERT INTO residue_holds (hold_uid, residue_id) VALUES (?, ?) ON CONFLICT DO NOTHING`
	// A hold that is not known is not known to be lifted.
	openHolds = `(SELECT COUNT(*) FROM residue_holds rh LEFT JOIN holds h ON h.uid = rh.hold_uid
		WHERE rh.residue_id = residues.id AND h.lifted_at IS NULL)`
	countResidueHolds = `UPDATE residues SET open_holds = ` + openHolds + ` WHERE id = ?`
	countHoldResidues = `UPDATE residues SET open_holds = ` + openHolds + `
		WHERE id IN (SELECT residue_id FROM residue_holds WHERE hold_uid = ?)`

	upsertSealed = `INSERT INTO sealed (kind, id, digest, text) VALUES (?, ?, ?, ?)
		ON CONFLICT (kind, id) DO UPDATE SET digest = excluded.digest, text = excluded.text`
	deleteSealed = `DELETE FROM sealed WHERE kind = ? AND id = ?`

	upsertHold = `INSERT INTO holds (uid, namespace, name, body) VALUES (?, ?, ?, ?)
		ON CONFLICT (uid) DO UPDATE SET name = excluded.name, body = excluded.body`
	liftHold = `UPDATE holds SET lifted_at = ? WHERE uid = ? AND lifted_at IS NULL`

	insertClaim   = `INSERT INTO claims (namespace, key, owner_uid, owner_name) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`
	releaseClaims = `DELETE FROM claims WHERE owner_uid = ?`

	upsertTombstone = `INSERT INTO tombstones (namespace, store, entity, mac, erased_at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET erased_at = max(erased_at, excluded.erased_at)`
	upsertCheckpoint = `INSERT INTO checkpoints (origin, size, root) VALUES (?, ?, ?)
		ON CONFLICT (origin) DO UPDATE SET size = excluded.size, root = excluded.root WHERE excluded.size > size`

	unlinkRequest = `UPDATE requests SET subject_pseudonym = '', link_destroyed = 1 WHERE uid = ?`
)

var readQueries = []string{selectRequest, selectFinished, selectRun, selectHold, selectHolds, selectResidue, selectResidues, countOpen,
	selectDue, selectClaim, selectTombstone, selectCheckpoint, selectBaseline, selectCertificate, selectSchedule,
	selectEpoch}

var writeQueries = []string{insertSchedule, updateSchedule, deleteSchedule, upsertBaseline, deleteBaseline, insertCertificate, selectDigest, insertRequest, updateRequest, insertRun, updateRun, insertResidue, updateResidue,
	deleteResidueHolds, insertResidueHold, countResidueHolds, countHoldResidues, upsertSealed, deleteSealed, upsertHold, liftHold,
	insertClaim, releaseClaims, upsertTombstone, upsertCheckpoint, unlinkRequest}
