-- Memories of an owner, and their cosines with a question where it has a vector.
-- $1 owner, $2 ids, $3 model, $4 the question's vector or NULL
SELECT -(e.emb <#> $4::halfvec), {memory}
FROM memories m
LEFT JOIN embeddings e ON $4::halfvec IS NOT NULL AND e.owner = $1 AND e.model = $3 AND e.id = m.id
WHERE m.owner = $1 AND m.id = ANY ($2::uuid[]) AND m.delete_time IS NULL
