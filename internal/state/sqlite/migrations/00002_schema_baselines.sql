-- +goose Up
-- What each map was checked against when it was written: names and types of tables and columns.
CREATE TABLE schema_baselines (
    map_uid    TEXT PRIMARY KEY,
    namespace  TEXT NOT NULL,
    generation INTEGER NOT NULL,
    tables     BLOB NOT NULL
) STRICT, WITHOUT ROWID;
