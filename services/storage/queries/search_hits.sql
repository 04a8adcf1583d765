-- Memories of an owner, and their cosines with a question where it has a vector. At least one row, if the owner is
-- known: that of the owner's revision, so that the caller can tell which state these memories are of.
-- $1 owner, $2 ids, $3 model, $4 the question's vector or NULL
SELECT h.revision, -(e.emb <#> $4::halfvec), {memory}
FROM owners h
LEFT JOIN memories m ON m.owner = $1 AND m.id = ANY ($2::uuid[]) AND m.delete_time IS NULL
LEFT JOIN embeddings e ON $4::halfvec IS NOT NULL AND e.owner = $1 AND e.model = $3 AND e.id = m.id
WHERE h.owner = $1
