-- Version 2: what is asked for is found by an index; verdicts with their baseline and snapshot; nothing is changed or
-- deleted but by retention. What each table holds is said in docs/store.md.

-- `micros` is the time in microseconds since 1970: as text, times with and without a fraction are in no order.
ALTER TABLE entries ADD COLUMN micros INTEGER NOT NULL DEFAULT 0;
ALTER TABLE entries ADD COLUMN commit_id TEXT;
UPDATE entries SET
    micros = CAST(round(unixepoch(time, 'subsec') * 1000) AS INTEGER) * 1000,
    commit_id = body ->> '$.commit';
CREATE INDEX entries_by_time ON entries (micros);
CREATE INDEX entries_by_kind ON entries (kind, id);
CREATE INDEX entries_by_commit ON entries (commit_id, id) WHERE commit_id IS NOT NULL;

-- The entries that opened and healed a finding.
ALTER TABLE findings ADD COLUMN opened_entry INTEGER;
ALTER TABLE findings ADD COLUMN healed_entry INTEGER;
UPDATE findings SET opened_entry = told.first, healed_entry = CASE state WHEN 'healed' THEN told.last END
    FROM (SELECT body ->> '$.finding' AS finding, min(id) AS first, max(id) AS last
          FROM entries WHERE kind = 'finding' GROUP BY 1) AS told
    WHERE told.finding = findings.finding;
CREATE INDEX findings_by_healing ON findings (healed_entry) WHERE healed_entry IS NOT NULL;

-- What was expected of each declared key, as JSON. One that has not changed since is not written again.
CREATE TABLE baselines (
    baseline INTEGER PRIMARY KEY,
    digest   BLOB NOT NULL UNIQUE,
    body     TEXT NOT NULL
) STRICT;

-- The verdicts, by the number of their entry.
CREATE TABLE verdicts (
    entry      INTEGER PRIMARY KEY REFERENCES entries (id),
    deployment TEXT NOT NULL,
    status     TEXT NOT NULL,
    baseline   INTEGER REFERENCES baselines (baseline)
) STRICT;
CREATE INDEX verdicts_by_deployment ON verdicts (deployment, entry);
CREATE INDEX verdicts_by_baseline ON verdicts (baseline);
INSERT INTO verdicts SELECT id, body ->> '$.deployment', body ->> '$.status', NULL FROM entries WHERE kind = 'verdict';

-- What was in force of each declared key at a verdict; NULL: the key did not exist.
CREATE TABLE snapshots (
    entry INTEGER NOT NULL REFERENCES verdicts (entry),
    key   TEXT NOT NULL,
    value TEXT,
    PRIMARY KEY (entry, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX deployments_by_commit ON deployments (commit_id);

-- What retention took, and why: entries up to and with `upto`, but for those that are still needed.
CREATE TABLE forgotten (
    number  INTEGER PRIMARY KEY,
    time    TEXT NOT NULL,
    upto    INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    why     TEXT NOT NULL CHECK (why IN ('age', 'size'))
) STRICT;

-- Against mistakes, ours and those of whoever opens the file beside us. Who can write the file can drop a trigger.
CREATE TRIGGER entries_are_not_changed BEFORE UPDATE ON entries
BEGIN SELECT raise(ABORT, 'entries are not changed'); END;
CREATE TRIGGER entries_are_not_deleted BEFORE DELETE ON entries
WHEN OLD.id > (SELECT coalesce(max(upto), 0) FROM forgotten)
BEGIN SELECT raise(ABORT, 'entries are deleted by retention alone'); END;
CREATE TRIGGER verdicts_are_not_changed BEFORE UPDATE ON verdicts
BEGIN SELECT raise(ABORT, 'verdicts are not changed'); END;
CREATE TRIGGER verdicts_are_not_deleted BEFORE DELETE ON verdicts
WHEN OLD.entry > (SELECT coalesce(max(upto), 0) FROM forgotten)
BEGIN SELECT raise(ABORT, 'verdicts are deleted by retention alone'); END;
CREATE TRIGGER snapshots_are_not_changed BEFORE UPDATE ON snapshots
BEGIN SELECT raise(ABORT, 'snapshots are not changed'); END;
CREATE TRIGGER snapshots_are_not_deleted BEFORE DELETE ON snapshots
WHEN OLD.entry > (SELECT coalesce(max(upto), 0) FROM forgotten)
BEGIN SELECT raise(ABORT, 'snapshots are deleted by retention alone'); END;
CREATE TRIGGER baselines_are_not_changed BEFORE UPDATE ON baselines
BEGIN SELECT raise(ABORT, 'baselines are not changed'); END;
CREATE TRIGGER findings_stay_healed BEFORE UPDATE ON findings
WHEN OLD.state = 'healed' OR NEW.finding <> OLD.finding OR NEW.rule <> OLD.rule OR NEW.key <> OLD.key
BEGIN SELECT raise(ABORT, 'a finding that healed is not changed'); END;
CREATE TRIGGER findings_are_not_deleted BEFORE DELETE ON findings
WHEN OLD.healed_entry IS NULL OR OLD.healed_entry > (SELECT coalesce(max(upto), 0) FROM forgotten)
BEGIN SELECT raise(ABORT, 'findings are deleted by retention alone, and never while open'); END;
CREATE TRIGGER forgotten_is_not_changed BEFORE UPDATE ON forgotten
BEGIN SELECT raise(ABORT, 'what was forgotten is not changed'); END;
CREATE TRIGGER forgotten_is_not_deleted BEFORE DELETE ON forgotten
BEGIN SELECT raise(ABORT, 'what was forgotten is not deleted'); END;
