-- All of it follows from the ledger. There are no migrations: another version is built anew.

CREATE TABLE origins (
    number INTEGER PRIMARY KEY,
    name   TEXT NOT NULL UNIQUE,
    size   INTEGER NOT NULL, -- how many entries are taken in
    leaf   BLOB              -- the hash of the last one's leaf
) STRICT;

-- Texts of an origin that entries are found by, each once.
CREATE TABLE words (
    id        INTEGER PRIMARY KEY,
    origin    INTEGER NOT NULL,
    dimension INTEGER NOT NULL,
    text      TEXT NOT NULL,
    UNIQUE (origin, dimension, text)
) STRICT;

-- The id of an entry is the origin's number times 2^40, plus its index. Each index below is in the order of ids, so that a page
-- begins where the one before has ended. Times are nanoseconds since 1970.
CREATE TABLE entries (
    id     INTEGER PRIMARY KEY,
    time   INTEGER NOT NULL,
    kind   INTEGER NOT NULL,
    reason INTEGER,
    actor  INTEGER,
    handle INTEGER, -- of the request, or without one the UID of the run
    turned INTEGER  -- the status to which it ended a request; 10 more for a run of a rule
) STRICT;
CREATE INDEX entries_kind ON entries (kind);
CREATE INDEX entries_reason ON entries (reason) WHERE reason IS NOT NULL;
CREATE INDEX entries_actor ON entries (actor) WHERE actor IS NOT NULL;
CREATE INDEX entries_handle ON entries (handle) WHERE handle IS NOT NULL;
CREATE INDEX entries_turned ON entries (turned) WHERE turned IS NOT NULL;

-- A request, or a run of a rule, has the id of its first entry.
CREATE TABLE requests (
    id        INTEGER PRIMARY KEY,
    origin    INTEGER NOT NULL,
    handle    INTEGER NOT NULL UNIQUE,
    status    INTEGER NOT NULL,
    source    INTEGER,
    reason    INTEGER,
    actor     INTEGER,
    received  INTEGER NOT NULL,
    scheduled INTEGER,
    due       INTEGER,
    finished  INTEGER,
    counts    TEXT,
    run       TEXT -- what runs of rules have besides; NULL for a request
) STRICT;
CREATE INDEX requests_status ON requests (status);
CREATE INDEX requests_source ON requests (source) WHERE source IS NOT NULL;
CREATE INDEX requests_reason ON requests (reason) WHERE reason IS NOT NULL;
CREATE INDEX requests_actor ON requests (actor) WHERE actor IS NOT NULL;
CREATE INDEX requests_due ON requests (origin, due, received) WHERE status = 1 AND due IS NOT NULL;

CREATE TABLE categories (
    category INTEGER NOT NULL,
    id       INTEGER NOT NULL,
    PRIMARY KEY (category, id)
) STRICT, WITHOUT ROWID;

-- What statistics are made of. The first and last id of a day bound where its entries are, whatever clocks did.
CREATE TABLE days (
    origin    INTEGER NOT NULL,
    day       INTEGER NOT NULL, -- since 1970, in UTC
    first     INTEGER NOT NULL,
    last      INTEGER NOT NULL,
    -- what happened on it
    received  INTEGER NOT NULL,
    completed INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    -- of the requests that were received on it, what they are now, and the milliseconds until the completed ones were
    now_pending   INTEGER NOT NULL,
    now_completed INTEGER NOT NULL,
    now_cancelled INTEGER NOT NULL,
    now_failed    INTEGER NOT NULL,
    took          INTEGER NOT NULL,
    -- the same of runs of rules
    run_announced INTEGER NOT NULL,
    run_completed INTEGER NOT NULL,
    run_cancelled INTEGER NOT NULL,
    run_failed    INTEGER NOT NULL,
    now_run_pending   INTEGER NOT NULL,
    now_run_completed INTEGER NOT NULL,
    now_run_cancelled INTEGER NOT NULL,
    now_run_failed    INTEGER NOT NULL,
    PRIMARY KEY (origin, day)
) STRICT, WITHOUT ROWID;
