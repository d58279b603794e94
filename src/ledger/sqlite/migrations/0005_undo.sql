-- run: the run whose news the write follows from; 0 for the first reading, empty when it was no run.
ALTER TABLE write ADD COLUMN run INTEGER;
