-- Version 4. The repository of a deployment, as its message named it.

ALTER TABLE deployments ADD COLUMN repo TEXT;
