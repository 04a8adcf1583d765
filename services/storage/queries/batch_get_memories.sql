-- Memories of one owner, and the state that they are of. One row at least.
-- $1 owner, $2 ids
SELECT h.revision, h.erase_time IS NOT NULL, t.lineage, {memory}
FROM meta t
LEFT JOIN owners h ON h.owner = $1
LEFT JOIN memories m ON m.owner = $1 AND m.id = ANY ($2::uuid[]) AND m.delete_time IS NULL
