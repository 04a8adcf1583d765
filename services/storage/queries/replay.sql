-- Makes dead letters due again. Lists several owners, each locked before.
-- $1 owners, $2 ids, $3 stages, $4 models
UPDATE analysis_due d SET
  dead_at = NULL, attempts = 0, first_error = NULL, last_error = NULL, due_at = now(), not_before = now()
FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::smallint[]) AS x (owner, id, stage, model)
WHERE d.owner = x.owner AND d.id = x.id AND d.stage = x.stage AND d.model = x.model AND d.dead_at IS NOT NULL
RETURNING d.owner, d.id
