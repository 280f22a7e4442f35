-- +goose Up
-- What was attested of a request. Rows are never changed: what happens later makes one with a higher number.
CREATE TABLE certificates (
    request_uid TEXT NOT NULL,
    number      INTEGER NOT NULL,
    namespace   TEXT NOT NULL,
    entry_key   TEXT NOT NULL,
    issued_at   INTEGER NOT NULL,
    -- Canonical JSON, whose digest is in the ledger.
    body        BLOB NOT NULL,
    PRIMARY KEY (request_uid, number)
) STRICT;
CREATE INDEX certificates_issued ON certificates (namespace, issued_at);
