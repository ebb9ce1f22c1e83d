-- Version 9. What is asked at each message is found at once, however much there is.

-- Whose turn it is for a sink, of all that waits for it and for others, or was given up.
CREATE INDEX messages_waiting ON messages (sink, entry) WHERE dead IS NULL;

-- How often a key departed of late, of all its findings.
DROP INDEX findings_by_key;
CREATE INDEX findings_by_key ON findings (key, rule, opened_entry);
