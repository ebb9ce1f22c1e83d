-- Version 8. Remedies.

-- Those that were recorded to be carried out and of which nothing more is known yet: after a crash, those cut off. `body` is
-- the remedy as JSON. Gone with the entry that says what became of it.
CREATE TABLE remedies_under_way (
    finding TEXT PRIMARY KEY,
    body    TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Live values that are expected in the place of the declared ones, until the next deployment is in force.
CREATE TABLE adoptions (
    rule  TEXT NOT NULL,
    key   TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (rule, key)
) STRICT, WITHOUT ROWID;
