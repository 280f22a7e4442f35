-- +goose Up
-- Records have what is searched for in columns and the rest as JSON, as text: what was written comes back byte for byte. Times
-- are nanoseconds since 1970 in UTC, which a timestamp would round. Pages keep room, so that an update stays on its page.
CREATE TABLE requests (
    uid               text PRIMARY KEY,
    namespace         text NOT NULL,
    name              text NOT NULL,
    revision          bigint NOT NULL,
    finished_at       bigint,
    -- The only link from a request's handle to a person's pseudonym.
    subject_pseudonym text NOT NULL,
    link_destroyed    boolean NOT NULL DEFAULT false,
    body              text NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX requests_finished ON requests (namespace, name, finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE runs (
    uid       text PRIMARY KEY,
    namespace text NOT NULL,
    name      text NOT NULL,
    revision  bigint NOT NULL,
    body      text NOT NULL
) WITH (fillfactor = 70);

-- Sealed material stands apart from its record, so that writing progress does not write a plan again.
CREATE TABLE sealed (
    kind   text NOT NULL,
    id     text NOT NULL,
    digest bytea NOT NULL,
    text   bytea NOT NULL,
    PRIMARY KEY (kind, id)
);
-- It looks random: compressing it is in vain.
ALTER TABLE sealed ALTER COLUMN text SET STORAGE EXTERNAL;

CREATE TABLE claims (
    namespace  text NOT NULL,
    key        text NOT NULL,
    owner_uid  text NOT NULL,
    owner_name text NOT NULL,
    PRIMARY KEY (namespace, key)
);
CREATE INDEX claims_owner ON claims (owner_uid);

CREATE TABLE holds (
    uid       text PRIMARY KEY,
    namespace text NOT NULL,
    name      text NOT NULL,
    lifted_at bigint,
    body      text NOT NULL
);
CREATE INDEX holds_in_force ON holds (namespace, uid) WHERE lifted_at IS NULL;

CREATE TABLE residues (
    id                text PRIMARY KEY,
    namespace         text NOT NULL,
    revision          bigint NOT NULL,
    request_uid       text NOT NULL,
    subject_pseudonym text NOT NULL,
    state             text NOT NULL,
    due_at            bigint NOT NULL,
    -- How many of its holds are not lifted, so that the due ones are found without looking at those held.
    open_holds        integer NOT NULL,
    body              text NOT NULL
);
CREATE INDEX residues_due ON residues (due_at) WHERE state <> 'Done' AND open_holds = 0;
CREATE INDEX residues_request ON residues (namespace, request_uid, id);

CREATE TABLE residue_holds (
    hold_uid   text NOT NULL,
    residue_id text NOT NULL,
    PRIMARY KEY (hold_uid, residue_id)
);
CREATE INDEX residue_holds_residue ON residue_holds (residue_id);

CREATE TABLE tombstones (
    namespace text NOT NULL,
    store     text NOT NULL,
    entity    text NOT NULL,
    mac       text NOT NULL,
    erased_at bigint NOT NULL,
    PRIMARY KEY (namespace, store, entity, mac)
);

CREATE TABLE checkpoints (
    origin text PRIMARY KEY,
    size   bigint NOT NULL,
    root   bytea NOT NULL
) WITH (fillfactor = 50);

-- What each map was checked against when it was written: names and types of tables and columns.
CREATE TABLE schema_baselines (
    map_uid    text PRIMARY KEY,
    namespace  text NOT NULL,
    generation bigint NOT NULL,
    tables     bytea NOT NULL
);

-- What was attested of a request. Rows are never changed: what happens later makes one with a higher number.
CREATE TABLE certificates (
    request_uid text NOT NULL,
    number      bigint NOT NULL,
    namespace   text NOT NULL,
    entry_key   text NOT NULL,
    issued_at   bigint NOT NULL,
    -- Canonical JSON, whose digest is in the ledger.
    body        bytea NOT NULL,
    PRIMARY KEY (request_uid, number)
);
CREATE INDEX certificates_issued ON certificates (namespace, issued_at);
