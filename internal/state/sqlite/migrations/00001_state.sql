-- +goose Up
-- Records have what is searched for in columns and the rest as JSON. Times are nanoseconds since 1970 in UTC.
CREATE TABLE requests (
    uid               TEXT PRIMARY KEY,
    namespace         TEXT NOT NULL,
    name              TEXT NOT NULL,
    revision          INTEGER NOT NULL,
    finished_at       INTEGER,
    -- The only link from a request's handle to a person's pseudonym.
    subject_pseudonym TEXT NOT NULL,
    link_destroyed    INTEGER NOT NULL DEFAULT 0,
    body              TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX requests_finished ON requests (namespace, name, finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE runs (
    uid       TEXT PRIMARY KEY,
    namespace TEXT NOT NULL,
    name      TEXT NOT NULL,
    revision  INTEGER NOT NULL,
    body      TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Sealed material stands apart from its record, so that writing progress does not write a plan again.
CREATE TABLE sealed (
    kind   TEXT NOT NULL,
    id     TEXT NOT NULL,
    digest BLOB NOT NULL,
    text   BLOB NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT;

CREATE TABLE claims (
    namespace  TEXT NOT NULL,
    key        TEXT NOT NULL,
    owner_uid  TEXT NOT NULL,
    owner_name TEXT NOT NULL,
    PRIMARY KEY (namespace, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX claims_owner ON claims (owner_uid);

CREATE TABLE holds (
    uid       TEXT PRIMARY KEY,
    namespace TEXT NOT NULL,
    name      TEXT NOT NULL,
    lifted_at INTEGER,
    body      TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX holds_in_force ON holds (namespace, uid) WHERE lifted_at IS NULL;

CREATE TABLE residues (
    id                TEXT PRIMARY KEY,
    namespace         TEXT NOT NULL,
    revision          INTEGER NOT NULL,
    request_uid       TEXT NOT NULL,
    subject_pseudonym TEXT NOT NULL,
    state             TEXT NOT NULL,
    due_at            INTEGER NOT NULL,
    -- How many of its holds are not lifted, so that the due ones are found without looking at those held.
    open_holds        INTEGER NOT NULL,
    body              TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX residues_due ON residues (due_at) WHERE state <> 'Done' AND open_holds = 0;
CREATE INDEX residues_request ON residues (namespace, request_uid, id);

CREATE TABLE residue_holds (
    hold_uid   TEXT NOT NULL,
    residue_id TEXT NOT NULL,
    PRIMARY KEY (hold_uid, residue_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX residue_holds_residue ON residue_holds (residue_id);

CREATE TABLE tombstones (
    namespace TEXT NOT NULL,
    store     TEXT NOT NULL,
    entity    TEXT NOT NULL,
    mac       TEXT NOT NULL,
    erased_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, store, entity, mac)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoints (
    origin TEXT PRIMARY KEY,
    size   INTEGER NOT NULL,
    root   BLOB NOT NULL
) STRICT, WITHOUT ROWID;
