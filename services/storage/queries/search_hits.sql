-- Memories of an owner, and their cosines with a question where it has a vector; with each row the state that they
-- are of, as search_state has it. One row at least.
-- $1 owner, $2 ids, $3 model, $4 the question's vector or NULL
SELECT h.revision, h.erase_time IS NOT NULL, t.lineage, t.active_model, -(e.emb <#> $4::halfvec), {memory}
FROM meta t
LEFT JOIN owners h ON h.owner = $1
LEFT JOIN memories m ON m.owner = $1 AND m.id = ANY ($2::uuid[]) AND m.delete_time IS NULL
LEFT JOIN embeddings e ON $4::halfvec IS NOT NULL AND e.owner = $1 AND e.model = $3 AND e.id = m.id
