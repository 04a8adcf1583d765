-- Memories of an owner, and their cosines with a question where it has a vector; with each row the state that they
-- are of, as search_state has it. One row at least.
-- LIMIT and OFFSET keep the planner, which knows neither how small `meta` is nor what $4 is, from reading all of an
-- owner's vectors.
-- $1 owner, $2 ids, $3 model, $4 the question's vector or NULL
SELECT h.revision, h.erase_time IS NOT NULL, t.lineage, t.active_model, e.cosine, {memory}
FROM (SELECT lineage, active_model FROM meta LIMIT 1) t
LEFT JOIN owners h ON h.owner = $1
LEFT JOIN memories m ON m.owner = $1 AND m.id = ANY ($2::uuid[]) AND m.delete_time IS NULL
LEFT JOIN LATERAL (
  SELECT -(e.emb <#> $4::halfvec) AS cosine FROM embeddings e
  WHERE $4::halfvec IS NOT NULL AND e.owner = $1 AND e.model = $3 AND e.id = m.id OFFSET 0) e ON true
