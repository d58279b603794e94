-- How many passages stand where is asked every few seconds: an index alone answers it, without the passages themselves.
DROP INDEX handoff_rule;
CREATE INDEX handoff_counts ON handoff (rule, state, due_at);
