-- One memory with what analysis found, and the state that it is of. One row at least; several with several vectors.
-- $1 owner, $2 id
SELECT h.revision, h.erase_time IS NOT NULL, t.lineage, {memory}, e.model, e.revision, vector_dims(e.emb)
FROM meta t
LEFT JOIN owners h ON h.owner = $1
LEFT JOIN memories m ON m.owner = $1 AND m.id = $2 AND m.delete_time IS NULL
LEFT JOIN embeddings e ON e.owner = $1 AND e.id = $2
ORDER BY e.model
