-- +goose Up
-- Until when, by this server's clock, the workers of a Job may go on with a run, and under which epoch that was said.
CREATE TABLE sweep_leases (
    run_uid    text PRIMARY KEY,
    job        text NOT NULL,
    epoch      bigint NOT NULL,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Entries of the ledger that workers have written, until the one who writes the ledger has taken them over.
CREATE TABLE outbox (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_uid   text NOT NULL,
    entry     text NOT NULL
);
CREATE INDEX outbox_run ON outbox (run_uid, id);
