-- sweep: the number of the latest full sweep of its stream that met the activity, as with records.
ALTER TABLE activity ADD COLUMN sweep INTEGER;
