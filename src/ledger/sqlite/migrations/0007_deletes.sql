-- sweep: the number of the latest full sweep of its stream that met the record (or that was the latest when it was put).
ALTER TABLE record RENAME COLUMN swept_at TO sweep;
-- is_made: Nivel made the object. What it made before this column was there stands in the trail.
ALTER TABLE record ADD COLUMN is_made INTEGER NOT NULL DEFAULT 0;
UPDATE record SET is_made = 1 WHERE
    (SELECT system || '/' || stream || '/' || record.remote FROM stream WHERE id = record.stream)
    IN (SELECT record FROM change WHERE what LIKE '{"made":%');

-- sweep_epoch counts the sweeps begun. sweep_name: what the connection calls the latest.
-- sweep_stage: 0 over, 1 under way, 2 read to its end, 3 held, 4 let out.
ALTER TABLE stream_state ADD COLUMN sweep_name INTEGER;
ALTER TABLE stream_state ADD COLUMN sweep_stage INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stream_state ADD COLUMN sweep_problem TEXT;

-- removes_at: the object is to be removed, and not before this moment; empty: it is to be made or changed.
ALTER TABLE write ADD COLUMN removes_at INTEGER;
CREATE INDEX write_removal ON write (removes_at) WHERE removes_at IS NOT NULL;
