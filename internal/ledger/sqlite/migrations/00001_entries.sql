-- +goose Up
CREATE TABLE origins (
    number INTEGER PRIMARY KEY,
    name   TEXT NOT NULL UNIQUE
) STRICT;

-- An entry and the part of the tree that it completed are one row, so that an append touches as few pages as can be.
-- Rows are never changed.
CREATE TABLE entries (
    -- The origin's number times 2^40, plus the index in its tree.
    id         INTEGER PRIMARY KEY,
    -- A hash of origin number and idempotency key; see treelog.KeyHash.
    key_hash   BLOB NOT NULL UNIQUE,
    -- Canonical JSON.
    leaf       BLOB NOT NULL,
    -- 32 bytes for each complete subtree that ends with this entry, from the leaf's own hash upwards.
    nodes      BLOB NOT NULL,
    -- Signed checkpoint, in the last row of each append.
    checkpoint BLOB
) STRICT;

-- +goose StatementBegin
CREATE TRIGGER entries_stay BEFORE UPDATE ON entries BEGIN
    SELECT RAISE(ABORT, 'ledger entries are never changed');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER entries_are_kept BEFORE DELETE ON entries BEGIN
    SELECT RAISE(ABORT, 'ledger entries are never deleted');
END;
-- +goose StatementEnd
