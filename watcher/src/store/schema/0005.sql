-- Version 5. The values that came with deployments in force, as JSON: pairs of key and value, in the message's order.

CREATE TABLE declared (
    deployment TEXT PRIMARY KEY,
    body       TEXT NOT NULL
) STRICT, WITHOUT ROWID;
