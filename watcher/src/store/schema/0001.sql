-- Version 1. What each table holds is said in docs/architecture.md; times are RFC 3339 in UTC.

-- What happened, in the order it was recorded; `body` is the line that is told, as JSON.
CREATE TABLE entries (
    id   INTEGER PRIMARY KEY,
    time TEXT NOT NULL,
    kind TEXT NOT NULL,
    key  TEXT,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX entries_by_key ON entries (key, id) WHERE key IS NOT NULL;

-- Which entries still have to be told, and where. Written with the entry, in its transaction; gone once told.
CREATE TABLE outbox (
    entry INTEGER NOT NULL REFERENCES entries (id),
    sink  TEXT NOT NULL,
    PRIMARY KEY (entry, sink)
) STRICT, WITHOUT ROWID;

-- Every finding, as it is now: `body` is the finding as JSON.
CREATE TABLE findings (
    finding TEXT PRIMARY KEY,
    rule    TEXT NOT NULL,
    key     TEXT NOT NULL,
    state   TEXT NOT NULL CHECK (state IN ('opened', 'healed')),
    body    TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX findings_one_open ON findings (rule, key) WHERE state = 'opened';

-- Deployments: under way (`started`), in force (`finished`), broken off (`failed`, `timed-out`).
CREATE TABLE deployments (
    deployment  TEXT PRIMARY KEY,
    commit_id   TEXT NOT NULL,
    app         TEXT,
    environment TEXT,
    status      TEXT NOT NULL CHECK (status IN ('started', 'finished', 'failed', 'timed-out')),
    undated     INTEGER NOT NULL,
    started     TEXT,
    ended       TEXT
) STRICT;

-- Messages that were taken: what tells a retry from news.
CREATE TABLE deliveries (
    number      INTEGER PRIMARY KEY,
    id          TEXT,
    phase       TEXT NOT NULL,
    commit_id   TEXT NOT NULL,
    digest      BLOB NOT NULL,
    at          TEXT NOT NULL,
    deployment  TEXT NOT NULL,
    app         TEXT,
    environment TEXT
) STRICT;

-- What the host had when a deployment was confirmed: the expectations of rules that capture.
CREATE TABLE captures (
    rule      TEXT NOT NULL,
    key       TEXT NOT NULL,
    value     TEXT NOT NULL,
    commit_id TEXT NOT NULL,
    PRIMARY KEY (rule, key)
) STRICT, WITHOUT ROWID;
