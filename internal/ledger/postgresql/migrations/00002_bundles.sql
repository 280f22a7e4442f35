-- +goose Up
-- What was appended together is one row, so that an append costs as little as can be. Rows are never changed.
CREATE TABLE bundles (
    -- The origin's number times 2^40, plus the index of the first entry in its tree.
    id         bigint PRIMARY KEY,
    entries    integer NOT NULL,
    -- Canonical JSON of the entries, with a newline between them: unnest(string_to_array(convert_from(leaves, 'UTF8'), E'\n')) splits it.
    leaves     bytea NOT NULL,
    -- 32 bytes for each complete subtree that ends within the bundle and begins before it; see treelog.Bundle.
    nodes      bytea NOT NULL,
    -- Signed checkpoint, in the last row of each append.
    checkpoint bytea
);

-- An index, not evidence: where the entry of a key is.
CREATE TABLE keys (
    -- A hash of origin number and idempotency key; see treelog.KeyHash.
    hash bytea PRIMARY KEY,
    -- The origin's number times 2^40, plus the index of the entry in its tree.
    id   bigint NOT NULL
);

INSERT INTO bundles SELECT id, 1, leaf, substr(nodes, 33), checkpoint FROM entries ORDER BY id;
INSERT INTO keys SELECT key_hash, id FROM entries ORDER BY key_hash;
DROP TABLE entries;
DROP FUNCTION entries_stay;

-- +goose StatementBegin
CREATE FUNCTION bundles_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ledger entries are never changed or deleted';
END $$;
-- +goose StatementEnd
CREATE TRIGGER bundles_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON bundles EXECUTE FUNCTION bundles_stay();
CREATE TRIGGER keys_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON keys EXECUTE FUNCTION bundles_stay();
