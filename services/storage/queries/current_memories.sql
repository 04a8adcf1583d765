-- Memories that were there before a write, as they are now. Lists several owners, each with an id.
-- $1 owners, $2 ids
SELECT x.ord, {memory}
FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS x (owner, id, ord)
CROSS JOIN LATERAL (
  SELECT {memory} FROM memories m WHERE m.owner = x.owner AND m.id = x.id AND m.delete_time IS NULL OFFSET 0) m
WHERE NOT EXISTS (SELECT FROM owners o WHERE o.owner = x.owner AND o.erase_time IS NOT NULL)
