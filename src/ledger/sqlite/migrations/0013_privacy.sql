-- Erasures of people, as JSON; customer: until the ledger is purged of her, nothing is written for her.
CREATE TABLE erasure (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    customer INTEGER,
    is_open INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX erasure_open ON erasure (customer) WHERE is_open = 1;

-- Objects of erased people that were met and not taken in.
CREATE TABLE suppressed (
    stream INTEGER NOT NULL REFERENCES stream (id),
    mark BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (stream, mark)
) STRICT, WITHOUT ROWID;
