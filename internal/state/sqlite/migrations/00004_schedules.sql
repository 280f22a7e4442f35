-- +goose Up
-- What is known of the sweeps of each RetentionPolicy.
CREATE TABLE schedules (
    policy_uid TEXT PRIMARY KEY,
    namespace  TEXT NOT NULL,
    revision   INTEGER NOT NULL,
    body       TEXT NOT NULL
) STRICT, WITHOUT ROWID;
