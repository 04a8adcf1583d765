-- Attaches vectors of one owner's memories.
-- $1 owner, $2 stage, $3 model, $4 ids, $5 revisions that were worked on, $6 vectors
SELECT attach_embeddings_v1($1, $2, $3, $4, $5, $6::halfvec[])
