-- What has been due for so long that its hint must be lost, the oldest first. Over all owners.
-- $1 stage, $2 model, $3 for how long, $4 how many
SELECT d.owner, d.id FROM analysis_due d
WHERE d.stage = $1 AND d.model = $2 AND d.dead_at IS NULL AND d.not_before <= now() - $3::interval
ORDER BY d.not_before LIMIT $4
