-- The list of what was applied.
CREATE TABLE IF NOT EXISTS migrations (
  number int PRIMARY KEY, name text NOT NULL, digest bytea NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())
