-- Memories of an owner that a client changed since a revision; deleted ones have no terms.
-- $1 owner, $2 revision, $3 how many at most
SELECT m.id, m.revision, m.terms, m.occurred_at, m.occurred_until, m.occurred_offset, m.occurred_precision,
  m.kind, m.traits, m.conversation, m.speaker, m.position,
  array_to_string(m.labels, E'\x1f'), array_to_string(m.people, E'\x1f')
FROM memories m
WHERE m.owner = $1 AND m.revision > $2
ORDER BY m.revision LIMIT $3  -- this order makes the index on revisions the one to take
