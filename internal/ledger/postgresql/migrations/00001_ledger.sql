-- +goose Up
CREATE TABLE origins (
    number bigint PRIMARY KEY,
    name   text NOT NULL UNIQUE
);

-- An entry and the part of the tree that it completed are one row. Rows are never changed.
CREATE TABLE entries (
    -- The origin's number times 2^40, plus the index in its tree.
    id         bigint PRIMARY KEY,
    -- A hash of origin number and idempotency key; see treelog.KeyHash.
    key_hash   bytea NOT NULL UNIQUE,
    -- Canonical JSON: convert_from(leaf, 'UTF8')::jsonb reads it.
    leaf       bytea NOT NULL,
    -- 32 bytes for each complete subtree that ends with this entry, from the leaf's own hash upwards.
    nodes      bytea NOT NULL,
    -- Signed checkpoint, in the last row of each append.
    checkpoint bytea
);

-- +goose StatementBegin
CREATE FUNCTION entries_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ledger entries are never changed or deleted';
END $$;
-- +goose StatementEnd
CREATE TRIGGER entries_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON entries EXECUTE FUNCTION entries_stay();
