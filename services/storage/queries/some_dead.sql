-- Some dead letters that were dead by an instant. Over all owners.
-- $1 the instant, $2 how many
SELECT d.owner, d.id, d.stage, d.model FROM analysis_due d
WHERE d.dead_at IS NOT NULL AND d.dead_at <= $1 ORDER BY d.dead_at LIMIT $2
