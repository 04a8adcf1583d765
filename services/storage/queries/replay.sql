-- replay
-- Makes dead letters due again. Lists several owners: each is locked before its own, in their order.
-- $1 owners, $2 ids, $3 stages, $4 models
WITH locked AS MATERIALIZED (
  SELECT o.owner FROM owners o WHERE o.owner = ANY ($1::uuid[]) ORDER BY o.owner FOR NO KEY UPDATE)
UPDATE analysis_due d SET
  dead_at = NULL, attempts = 0, first_error = NULL, last_error = NULL, due_at = now(), not_before = now()
FROM locked l
JOIN unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::smallint[]) AS x (owner, id, stage, model)
  ON x.owner = l.owner
WHERE d.owner = x.owner AND d.id = x.id AND d.stage = x.stage AND d.model = x.model AND d.dead_at IS NOT NULL
RETURNING d.owner, d.id
