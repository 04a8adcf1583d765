-- One memory, and the state that it is of. Always one row.
-- $1 owner, $2 id
SELECT h.revision, h.erase_time IS NOT NULL, t.lineage, {memory}
FROM meta t
LEFT JOIN owners h ON h.owner = $1
LEFT JOIN memories m ON m.owner = $1 AND m.id = $2 AND m.delete_time IS NULL
