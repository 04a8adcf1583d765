-- The cosines of a question with all vectors of an owner. One row.
-- $1 owner, $2 model, $3 the question's vector
SELECT string_agg(uuid_send(e.id), ''), string_agg(float4send((-(e.emb <#> $3))::real), '')
FROM embeddings e
WHERE e.owner = $1 AND e.model = $2
