-- Nothing was ever written to the first shape of this table.
DROP TABLE inbox;

-- One event of a webhook. stream: the object's name as the event says it, where it does.
-- digest: of what makes the event unique; none, and nothing is taken for its duplicate.
-- fate: why it needs no more work; none while it waits.
CREATE TABLE inbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    system TEXT NOT NULL,
    stream TEXT,
    digest BLOB,
    received_at INTEGER NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL,
    folded_at INTEGER,
    fate TEXT,
    problem TEXT
) STRICT;
CREATE UNIQUE INDEX inbox_event ON inbox (system, digest) WHERE digest IS NOT NULL;
CREATE INDEX inbox_waiting ON inbox (system, id) WHERE folded_at IS NULL;
CREATE INDEX inbox_heard ON inbox (system, stream, received_at);

-- Events by what became of them, counted where it happens; fate 'received' counts all that came in.
CREATE TABLE inbox_count (
    system TEXT NOT NULL,
    fate TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (system, fate)
) STRICT, WITHOUT ROWID;

-- What is wrong with the webhooks of a stream; stream '' is the system as a whole.
CREATE TABLE webhook_problem (
    system TEXT NOT NULL,
    stream TEXT NOT NULL,
    problem TEXT NOT NULL,
    PRIMARY KEY (system, stream)
) STRICT, WITHOUT ROWID;
