-- What was sent to a record's fields without learning whether it arrived; nearly always nothing.
ALTER TABLE record ADD COLUMN sent TEXT;
