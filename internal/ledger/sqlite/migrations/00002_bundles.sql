-- +goose Up
-- What was appended together is one row, so that an append touches as few pages as can be. Rows are never changed.
CREATE TABLE bundles (
    -- The origin's number times 2^40, plus the index of the first entry in its tree.
    id         INTEGER PRIMARY KEY,
    entries    INTEGER NOT NULL,
    -- Canonical JSON of the entries, with a newline between them.
    leaves     BLOB NOT NULL,
    -- 32 bytes for each complete subtree that ends within the bundle and begins before it; see treelog.Bundle.
    nodes      BLOB NOT NULL,
    -- Signed checkpoint, in the last row of each append.
    checkpoint BLOB
) STRICT;

-- An index, not evidence: where the entry of a key is.
CREATE TABLE keys (
    -- A hash of origin number and idempotency key; see treelog.KeyHash.
    hash BLOB PRIMARY KEY,
    -- The origin's number times 2^40, plus the index of the entry in its tree.
    id   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO bundles SELECT id, 1, leaf, substr(nodes, 33), checkpoint FROM entries ORDER BY id;
INSERT INTO keys SELECT key_hash, id FROM entries ORDER BY key_hash;
DROP TABLE entries;

-- +goose StatementBegin
CREATE TRIGGER bundles_stay BEFORE UPDATE ON bundles BEGIN
    SELECT RAISE(ABORT, 'ledger entries are never changed');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER bundles_are_kept BEFORE DELETE ON bundles BEGIN
    SELECT RAISE(ABORT, 'ledger entries are never deleted');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER keys_stay BEFORE UPDATE ON keys BEGIN
    SELECT RAISE(ABORT, 'keys of ledger entries are never changed');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER keys_are_kept BEFORE DELETE ON keys BEGIN
    SELECT RAISE(ABORT, 'keys of ledger entries are never deleted');
END;
-- +goose StatementEnd

-- The places in a list of hashes, as many as a bundle may ever have: to count them out in each append takes longer than to add them.
CREATE TABLE places (place INTEGER PRIMARY KEY) STRICT;
INSERT INTO places WITH RECURSIVE p (place) AS (SELECT 0 UNION ALL SELECT place + 1 FROM p WHERE place < 1023) SELECT place FROM p;

-- An append is one statement that commits by itself: a row of this view. Its keys are hashes that stand one behind the other.
CREATE VIEW appends AS SELECT 0 AS epoch, id, entries, x'' AS keys, leaves, nodes, checkpoint FROM bundles;
-- +goose StatementBegin
CREATE TRIGGER appends_are_bundles INSTEAD OF INSERT ON appends BEGIN
    SELECT RAISE(ABORT, 'another process has opened the store since')
        WHERE NEW.epoch IS NOT (SELECT epoch FROM store_identity);
    SELECT RAISE(ABORT, 'the entry before is not there')
        WHERE NEW.id % 1099511627776 <> 0
        AND NEW.id IS NOT (SELECT id + entries FROM bundles WHERE id < NEW.id ORDER BY id DESC LIMIT 1);
    INSERT INTO bundles VALUES (NEW.id, NEW.entries, NEW.leaves, NEW.nodes, NEW.checkpoint);
    INSERT INTO keys SELECT substr(NEW.keys, 16 * place + 1, 16), NEW.id + place FROM places WHERE place < NEW.entries;
END;
-- +goose StatementEnd
