-- A page of the timeline, the newest first, and the state that it is of. One row at least.
-- $1 owner, $2 from and $3 before which instant, $4 $5 instant and id after which the page begins, $6 how many
-- $7 any of these kinds, $8 all of these labels, $9 all of these people, $10 speaker, $11 conversation; or NULL
SELECT h.revision, h.erase_time IS NOT NULL, t.lineage, {memory}
FROM meta t
LEFT JOIN owners h ON h.owner = $1
LEFT JOIN LATERAL (
  SELECT {memory} FROM memories m
  WHERE m.owner = $1 AND m.delete_time IS NULL
    AND m.occurred_at >= $2 AND m.occurred_at < $3
    -- The row comparison alone is no condition for the index.
    AND m.occurred_at <= $4 AND (m.occurred_at, m.id) < ($4, $5::uuid)
    AND ($7::smallint[] IS NULL OR m.kind = ANY ($7)) AND ($8::text[] IS NULL OR m.labels @> $8)
    AND ($9::text[] IS NULL OR m.people @> $9) AND ($10::text IS NULL OR m.speaker = $10)
    AND ($11::text IS NULL OR m.conversation = $11)
  ORDER BY m.occurred_at DESC, m.id DESC LIMIT $6) m ON true
ORDER BY m.occurred_at DESC, m.id DESC
