-- Vectors of an owner that were attached since a revision.
-- $1 owner, $2 model, $3 revision, $4 how many at most
SELECT e.id, e.emb
FROM embeddings e
WHERE e.owner = $1 AND e.model = $2 AND e.revision > $3
ORDER BY e.revision LIMIT $4  -- this order makes the index on revisions the one to take
