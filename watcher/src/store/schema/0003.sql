-- Version 3. Who may ask for a verdict: the credentials that delivered a deployment.

CREATE TABLE deliverers (
    deployment TEXT NOT NULL,
    credential TEXT NOT NULL,
    PRIMARY KEY (deployment, credential)
) STRICT, WITHOUT ROWID;
