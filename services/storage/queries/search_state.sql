-- The state of an owner and of the database, in this snapshot. Always one row.
-- $1 owner
SELECT h.revision, h.erase_time IS NOT NULL, t.lineage, t.active_model
FROM meta t
LEFT JOIN owners h ON h.owner = $1
