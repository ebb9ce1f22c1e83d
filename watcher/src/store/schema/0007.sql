-- Version 7. Messages that are sent again because what they tell is still so, and those that are held because their finding
-- opens and heals again and again.

-- How often it was sent already.
ALTER TABLE messages ADD COLUMN reminders INTEGER NOT NULL DEFAULT 0;
-- How often the finding opened lately, where that was too often; and who wrote its key (JSON).
ALTER TABLE messages ADD COLUMN flaps INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN writers TEXT;

CREATE INDEX findings_by_key ON findings (key, rule);
