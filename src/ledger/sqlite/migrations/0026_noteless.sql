-- Passages whose note was given up are counted with every look at what stands still.
CREATE INDEX handoff_noteless ON handoff (id) WHERE note = 3;
