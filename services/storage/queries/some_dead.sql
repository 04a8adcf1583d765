-- Some dead letters that were dead by an instant, the oldest first, and that instant. Over all owners.
-- $1 the instant or NULL for now, $2 how many
SELECT d.owner, d.id, d.stage, d.model, coalesce($1, now()) FROM analysis_due d
WHERE d.dead_at IS NOT NULL AND d.dead_at <= coalesce($1, now()) ORDER BY d.dead_at LIMIT $2
