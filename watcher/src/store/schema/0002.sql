-- Version 2. Who may ask for a verdict, and the verdict.

-- The credentials that delivered a deployment.
CREATE TABLE deliverers (
    deployment TEXT NOT NULL,
    credential TEXT NOT NULL,
    PRIMARY KEY (deployment, credential)
) STRICT, WITHOUT ROWID;

-- The verdict that was made at a deployment's end, as JSON.
CREATE TABLE verdicts (
    deployment TEXT PRIMARY KEY,
    body       TEXT NOT NULL
) STRICT, WITHOUT ROWID;
