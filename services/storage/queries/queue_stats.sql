-- The queue by stage and model. Over all owners.
SELECT d.stage, d.model,
  count(*) FILTER (WHERE d.dead_at IS NULL AND d.not_before <= now()),
  count(*) FILTER (WHERE d.dead_at IS NULL AND d.not_before > now()),
  count(*) FILTER (WHERE d.dead_at IS NOT NULL),
  now() - min(d.due_at) FILTER (WHERE d.dead_at IS NULL)
FROM analysis_due d GROUP BY d.stage, d.model ORDER BY d.stage, d.model
