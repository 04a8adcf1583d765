-- A page of the timeline, the oldest first, and the state that it is of. One row at least.
-- Arguments as of list_newest.
SELECT h.revision, h.erase_time IS NOT NULL, t.lineage, {memory}
FROM meta t
LEFT JOIN owners h ON h.owner = $1
LEFT JOIN LATERAL (
  SELECT {memory} FROM memories m
  WHERE m.owner = $1 AND m.delete_time IS NULL
    AND m.occurred_at >= $2 AND m.occurred_at < $3
    AND m.occurred_at >= $4 AND (m.occurred_at, m.id) > ($4, $5::uuid)
    AND ($7::smallint[] IS NULL OR m.kind = ANY ($7)) AND ($8::text[] IS NULL OR m.labels @> $8)
    AND ($9::text[] IS NULL OR m.people @> $9) AND ($10::text IS NULL OR m.speaker = $10)
    AND ($11::text IS NULL OR m.conversation = $11)
  ORDER BY m.occurred_at, m.id LIMIT $6) m ON true
ORDER BY m.occurred_at, m.id
