-- What records of organizations answer to, so that the people of an organization find it: `domain:acme.com`, `name:acme`.
-- Rows of a record that is gone, or was moved to a person, do no harm: whoever looks one up looks at the record, too.
CREATE TABLE sign (
    value TEXT NOT NULL,
    record INTEGER NOT NULL REFERENCES record (id) ON DELETE CASCADE,
    PRIMARY KEY (value, record)
) STRICT, WITHOUT ROWID;
CREATE INDEX sign_record ON sign (record);
