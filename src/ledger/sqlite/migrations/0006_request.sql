-- What an operator asks of the process that has the ledger open, and what came of it.
CREATE TABLE request (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    by TEXT NOT NULL,
    act TEXT NOT NULL,
    answered_at INTEGER,
    answer TEXT
) STRICT;
CREATE INDEX request_open ON request (id) WHERE answered_at IS NULL;
