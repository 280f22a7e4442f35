-- +goose Up
-- What is known of the sweeps of each RetentionPolicy.
CREATE TABLE schedules (
    policy_uid text PRIMARY KEY,
    namespace  text NOT NULL,
    revision   bigint NOT NULL,
    body       text NOT NULL
);
