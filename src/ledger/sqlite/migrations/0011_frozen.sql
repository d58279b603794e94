-- Records of which Nivel may have frozen a field; few of them.
CREATE INDEX record_bounced ON record (stream, remote) WHERE bounces IS NOT NULL;

-- Figures that are counted where it happens. 'merges': how often a record turned out to be about a customer who was
-- known from another one, or two customers to be one.
CREATE TABLE tally (
    name TEXT PRIMARY KEY,
    count INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO tally (name, count) SELECT 'merges', count(*) FROM customer WHERE merged_into IS NOT NULL;
