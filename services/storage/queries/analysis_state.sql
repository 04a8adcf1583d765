-- How much of one owner's memories is to be analysed, and the state that this is of. Always one row.
-- $1 owner
SELECT h.revision, h.erase_time IS NOT NULL, t.lineage, d.due, d.oldest, d.dead
FROM meta t
LEFT JOIN owners h ON h.owner = $1
CROSS JOIN LATERAL (
  SELECT count(*) FILTER (WHERE d.dead_at IS NULL) AS due, min(d.due_at) FILTER (WHERE d.dead_at IS NULL) AS oldest,
         count(*) FILTER (WHERE d.dead_at IS NOT NULL) AS dead
  FROM analysis_due d WHERE d.owner = $1) d
