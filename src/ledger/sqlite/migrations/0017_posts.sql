-- What the admin's hooks are still to be told: one row for each event and hook, gone once it is delivered.
-- token: the event's id for the receiver, the same over all tries. state: 0 due, 1 dead.
-- customer: whose event it is; those of one customer leave in their order. body: the event, as JSON.
CREATE TABLE post (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    token TEXT NOT NULL,
    hook TEXT NOT NULL,
    kind TEXT NOT NULL,
    customer TEXT NOT NULL,
    at INTEGER NOT NULL,
    body TEXT NOT NULL,
    state INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    problem TEXT
) STRICT;
CREATE INDEX post_order ON post (hook, customer, id) WHERE state = 0;
CREATE INDEX post_due ON post (due_at) WHERE state = 0;
CREATE INDEX post_customer ON post (customer);
