-- Quotas outlive a restart. slots: what was spent, as [[start of the slot, amount], …], oldest first.
CREATE TABLE quota (
    name TEXT PRIMARY KEY,
    span_ms INTEGER NOT NULL,
    max INTEGER NOT NULL,
    slots TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One process at a time renews a grant, and only on top of the version it saw.
ALTER TABLE token ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE token ADD COLUMN lease_holder TEXT;
ALTER TABLE token ADD COLUMN lease_until INTEGER;
