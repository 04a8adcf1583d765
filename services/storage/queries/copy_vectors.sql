-- Vectors of an owner in the order of their ids, for COPY.
-- $1 owner, $2 model, $3 the id before the first, $4 how many at most
SELECT e.id, e.emb
FROM embeddings e
WHERE e.owner = $1 AND e.model = $2 AND e.id > $3
ORDER BY e.id LIMIT $4
