-- Objects that were read and are not folded yet. Only ever appended to and emptied as a whole, so no index is kept up.
-- links: 64-bit digests of the object's id and its identifiers, one behind the other, little endian; they stand before
-- the rest so that they can be read alone.
CREATE TABLE arrival (
    id INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL REFERENCES stream (id),
    asked_at INTEGER NOT NULL,
    links BLOB NOT NULL,
    identifiers TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
