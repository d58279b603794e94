-- Nothing was ever written to the first shape of this table.
DROP TABLE review;

-- Two customers of whom nobody can say whether they are one, by those of their records that look most alike.
-- score: thousandths of a bit. evidence: JSON, as it was when the question was put.
CREATE TABLE review (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    left INTEGER NOT NULL REFERENCES record (id),
    right INTEGER NOT NULL REFERENCES record (id),
    score INTEGER NOT NULL,
    is_vetoed INTEGER NOT NULL,
    evidence TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    UNIQUE (left, right)
) STRICT;
CREATE INDEX review_right ON review (right);

-- Records whose scored match has to be looked at (again), as they came. Only ever appended to, and emptied from the front.
-- refold: what is wanted of its customer has to be reckoned anew in any case.
CREATE TABLE rematch (
    id INTEGER PRIMARY KEY,
    record INTEGER NOT NULL,
    refold INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The customer that a record had first, where it has come to another one since: what a split gives back.
CREATE TABLE former (
    record INTEGER PRIMARY KEY,
    customer INTEGER NOT NULL REFERENCES customer (id)
) STRICT;

-- Customers that the scored match holds together, but not so surely that values may be overwritten: how surely, in
-- thousandths of a bit.
CREATE TABLE joint (
    customer INTEGER PRIMARY KEY,
    score INTEGER NOT NULL
) STRICT;
