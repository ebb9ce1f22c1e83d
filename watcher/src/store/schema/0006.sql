-- Version 6. What leaves this host: one row for each message to a sink, until it is taken or too old.

-- `subject`: messages about the same one leave in their order. `tries`, `due` (microseconds since 1970), `why`: how often
-- it was tried, when it is tried next, what was said the last time. `dead`: when it was given up (microseconds since 1970).
-- `since`: what its age is counted from.
CREATE TABLE messages (
    entry   INTEGER NOT NULL REFERENCES entries (id),
    sink    TEXT NOT NULL,
    subject TEXT NOT NULL,
    since   INTEGER NOT NULL,
    tries   INTEGER NOT NULL DEFAULT 0,
    due     INTEGER NOT NULL DEFAULT 0,
    why     TEXT,
    dead    INTEGER,
    PRIMARY KEY (entry, sink)
) STRICT, WITHOUT ROWID;
CREATE INDEX messages_in_order ON messages (sink, subject, entry);

-- What tells the messages of this store from those of any other: the beginning of each one's id.
CREATE TABLE origin (id TEXT NOT NULL) STRICT;
INSERT INTO origin VALUES (lower(hex(randomblob(8))));
