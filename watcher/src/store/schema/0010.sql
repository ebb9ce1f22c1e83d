-- Version 10. Bursts: of messages that wait for a sink in great number the later ones go as one.

-- The id under which it goes together with others; once it has one it keeps it until it is told.
ALTER TABLE messages ADD COLUMN burst TEXT;
CREATE INDEX messages_of_burst ON messages (sink, burst, entry) WHERE burst IS NOT NULL;
