-- The first schema. Names equal those of the Rust types; times are Unix milliseconds; JSON is compact.
-- Records, customers and streams have small integer ids inside, so that the many rows that point at them stay small:
-- what a page costs is mostly the number of index pages it touches.

CREATE TABLE stream (
    id INTEGER PRIMARY KEY,
    system TEXT NOT NULL,
    stream TEXT NOT NULL,
    UNIQUE (system, stream)
) STRICT;

CREATE TABLE stream_state (
    stream INTEGER PRIMARY KEY REFERENCES stream (id),
    cursor TEXT,
    version INTEGER NOT NULL DEFAULT 0,
    initial_done_at INTEGER,
    caught_up_at INTEGER,
    problem TEXT,
    parked_until INTEGER,
    lease_holder TEXT,
    lease_until INTEGER,
    fence INTEGER NOT NULL DEFAULT 0,
    sweep_epoch INTEGER NOT NULL DEFAULT 0,
    read INTEGER NOT NULL DEFAULT 0,
    changed INTEGER NOT NULL DEFAULT 0,
    rejected INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE run (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    stream INTEGER NOT NULL REFERENCES stream (id),
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    read INTEGER NOT NULL DEFAULT 0,
    changed INTEGER NOT NULL DEFAULT 0,
    rejected INTEGER NOT NULL DEFAULT 0,
    problem TEXT
) STRICT;

-- key: the 16 bytes of the UUIDv7. kind: 0 person, 1 organization.
CREATE TABLE customer (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    kind INTEGER NOT NULL,
    version INTEGER NOT NULL,
    merged_into INTEGER REFERENCES customer (id),
    golden TEXT NOT NULL,
    lineage TEXT NOT NULL,
    UNIQUE (key, kind)
) STRICT;
CREATE INDEX customer_alias ON customer (merged_into) WHERE merged_into IS NOT NULL;

-- What decides that nothing changed stands first in the row, before anything that may spill to another page.
CREATE TABLE record (
    id INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL REFERENCES stream (id),
    remote TEXT NOT NULL,
    customer INTEGER NOT NULL REFERENCES customer (id),
    hash BLOB NOT NULL,
    observed_at INTEGER NOT NULL,
    updated_at INTEGER,
    written_at INTEGER,
    deleted_at INTEGER,
    swept_at INTEGER,
    is_unread INTEGER NOT NULL,
    version TEXT,
    fields TEXT NOT NULL,
    observed TEXT,
    ours TEXT,
    bounces TEXT,
    problem TEXT,
    UNIQUE (stream, remote)
) STRICT;
CREATE INDEX record_customer ON record (customer);
CREATE INDEX record_deleted ON record (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX record_problem ON record (stream, remote) WHERE problem IS NOT NULL;

-- Laid down by record, found by an 8-byte digest of (kind, value): the only index here that is hit at random is as
-- small as it can be. is_current: 1 while the record asserts it, 0 once it is history.
CREATE TABLE identifier (
    record INTEGER NOT NULL REFERENCES record (id),
    ordinal INTEGER NOT NULL,
    digest INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    value TEXT NOT NULL,
    since INTEGER NOT NULL,
    is_current INTEGER NOT NULL,
    is_shared INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (record, ordinal)
) STRICT, WITHOUT ROWID;
CREATE INDEX identifier_digest ON identifier (digest);

-- left and right are record ids in text, the smaller one left.
CREATE TABLE decision (
    left TEXT NOT NULL,
    right TEXT NOT NULL,
    same INTEGER NOT NULL,
    decided_by TEXT NOT NULL,
    decided_at INTEGER NOT NULL,
    PRIMARY KEY (left, right)
) STRICT, WITHOUT ROWID;
CREATE INDEX decision_right ON decision (right);

CREATE TABLE review (
    left TEXT NOT NULL,
    right TEXT NOT NULL,
    score REAL NOT NULL,
    evidence TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    PRIMARY KEY (left, right)
) STRICT, WITHOUT ROWID;

-- slot: text is the id of an object, a blob is the customer key for whom one is to be made.
-- state: 0 due, 1 leased, 2 dead, 3 held, 4 removed while it was on its way or uncertain (a trace, not a wish).
-- next_operation: the operation of what is wanted now, while an older one is still on its way.
CREATE TABLE write (
    stream INTEGER NOT NULL REFERENCES stream (id),
    slot ANY NOT NULL,
    customer INTEGER NOT NULL REFERENCES customer (id),
    state INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    is_uncertain INTEGER NOT NULL,
    operation TEXT NOT NULL,
    next_operation TEXT,
    leased_at INTEGER,
    fields TEXT NOT NULL,
    problem TEXT,
    PRIMARY KEY (stream, slot)
) STRICT, WITHOUT ROWID;
CREATE INDEX write_customer ON write (customer);
CREATE INDEX write_state ON write (state, stream, due_at);

CREATE TABLE handoff (
    id INTEGER PRIMARY KEY,
    rule TEXT NOT NULL,
    customer INTEGER NOT NULL REFERENCES customer (id),
    opened_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    proof TEXT,
    reason TEXT
) STRICT;
CREATE INDEX handoff_customer ON handoff (customer);

-- record is text: the trail outlives the record.
CREATE TABLE change (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    customer INTEGER NOT NULL,
    record TEXT,
    cause TEXT NOT NULL,
    what TEXT NOT NULL
) STRICT;
CREATE INDEX change_customer ON change (customer);

CREATE TABLE inbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    system TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL,
    folded_at INTEGER,
    problem TEXT
) STRICT;
CREATE INDEX inbox_waiting ON inbox (id) WHERE folded_at IS NULL;

CREATE TABLE token (
    system TEXT PRIMARY KEY,
    key_id TEXT NOT NULL,
    sealed BLOB NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE suppression (
    digest BLOB PRIMARY KEY,
    since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE setting (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
