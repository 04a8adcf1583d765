-- What analysis found in some memories of one owner: in one snapshot with the memories.
-- $1 owner, $2 ids
SELECT e.id, e.model, e.revision, vector_dims(e.emb)
FROM embeddings e WHERE e.owner = $1 AND e.id = ANY ($2::uuid[])
ORDER BY e.model
