-- The cosines of a question with all vectors of an owner, and the state that they are of. One row.
-- $1 owner, $2 model, $3 the question's vector
SELECT h.revision, h.erase_time IS NOT NULL, t.lineage, c.ids, c.cosines
FROM meta t
LEFT JOIN owners h ON h.owner = $1
CROSS JOIN LATERAL (
  SELECT string_agg(uuid_send(e.id), '') AS ids, string_agg(float4send((-(e.emb <#> $3))::real), '') AS cosines
  FROM embeddings e
  WHERE e.owner = $1 AND e.model = $2) c
