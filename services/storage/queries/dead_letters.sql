-- Dead letters, the newest first. Over all owners, or of one.
-- $1 owner or NULL, $2 $3 $4 $5 $6 dead_at, owner, id, stage, model after which the page begins, $7 how many
SELECT o.tenant, o.user_name, d.owner, d.id, d.stage, d.model, d.attempts, d.first_error, d.last_error, d.due_at, d.dead_at
FROM analysis_due d JOIN owners o ON o.owner = d.owner
WHERE d.dead_at IS NOT NULL AND ($1::uuid IS NULL OR d.owner = $1)
  AND (d.dead_at, d.owner, d.id, d.stage, d.model) < ($2, $3::uuid, $4::uuid, $5::smallint, $6::smallint)
ORDER BY d.dead_at DESC, d.owner DESC, d.id DESC, d.stage DESC, d.model DESC LIMIT $7
