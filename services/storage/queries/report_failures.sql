-- Notes failures: due again after a backoff that doubles, or dead after the last attempt. Lists several owners.
-- What somebody else holds is skipped: it is being changed, and a failure in its old state is of no interest.
-- Shaped as claim_due_v1, for the same reasons.
-- $1 stage, $2 model, $3 owners, $4 ids, $5 revisions that were worked on, $6 errors, $7 attempts that each has,
-- $8 first backoff, $9 longest
WITH picked AS MATERIALIZED (
  SELECT k.place, x.error
  FROM unnest($3::uuid[], $4::uuid[], $5::bigint[], $6::text[]) AS x (owner, id, memory_revision, error)
  CROSS JOIN LATERAL (
    SELECT d.ctid AS place FROM analysis_due d
    WHERE d.owner = x.owner AND d.id = x.id AND d.stage = $1 AND d.model = $2
      AND d.memory_revision = x.memory_revision AND coalesce(d.dead_at, 'infinity') = 'infinity'
    FOR UPDATE SKIP LOCKED) k)
UPDATE analysis_due d SET
  first_error = coalesce(d.first_error, p.error), last_error = p.error,
  not_before = now() + least($9::interval, $8::interval * power(2, least(d.attempts - 1, 30)))
    * (0.75 + random() / 2),
  dead_at = CASE WHEN d.attempts >= $7 THEN now() END
FROM picked p WHERE d.ctid = p.place
RETURNING d.dead_at IS NOT NULL
