-- Deals, tickets, calls: objects that hang on customers and are none.
-- at: when it came about, as far as the tool tells. seen_at: when it was first seen to say what it says.
CREATE TABLE activity (
    id INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL REFERENCES stream (id),
    remote TEXT NOT NULL,
    hash BLOB NOT NULL,
    at INTEGER NOT NULL,
    updated_at INTEGER,
    seen_at INTEGER NOT NULL,
    deleted_at INTEGER,
    fields TEXT NOT NULL,
    UNIQUE (stream, remote)
) STRICT;

-- On whom an activity hangs: an object of that stream, or (stream 0) whoever holds that identifier now.
CREATE TABLE activity_holder (
    stream INTEGER NOT NULL,
    value TEXT NOT NULL,
    activity INTEGER NOT NULL REFERENCES activity (id),
    PRIMARY KEY (stream, value, activity)
) STRICT, WITHOUT ROWID;
CREATE INDEX activity_held ON activity_holder (activity);

-- Nothing was ever written to the first shape of this table.
DROP TABLE handoff;

-- One passage of a customer through a handoff. state: 0 open, 1 stopped, 2 delivered, 3 accepted, 4 cancelled.
-- note: 0 to be written, 1 sent and not known to have arrived, 2 written, 3 given up; empty when there is none.
-- body: the whole passage, as JSON.
CREATE TABLE handoff (
    id TEXT PRIMARY KEY,
    rule TEXT NOT NULL,
    customer INTEGER NOT NULL REFERENCES customer (id),
    state INTEGER NOT NULL,
    note INTEGER,
    opened_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX handoff_customer ON handoff (customer);
CREATE INDEX handoff_rule ON handoff (rule, opened_at);
CREATE INDEX handoff_pending ON handoff (id) WHERE state IN (0, 1);
CREATE INDEX handoff_note ON handoff (id) WHERE note IN (0, 1);

-- Customers who are served before others: their writes count as due so much earlier. Few of them.
CREATE TABLE head_start (
    customer INTEGER PRIMARY KEY REFERENCES customer (id),
    ahead_ms INTEGER NOT NULL
) STRICT;

-- Customers whose handoffs have to be looked at again at a time although nothing happens.
CREATE TABLE handoff_look (
    customer INTEGER PRIMARY KEY REFERENCES customer (id),
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX handoff_look_at ON handoff_look (at);
