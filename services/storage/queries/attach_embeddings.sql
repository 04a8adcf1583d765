-- Attaches vectors of several owners' memories; tells whose were left out, since somebody else had them locked.
-- $1 stage, $2 model, $3 owners, $4 ids, $5 revisions that were worked on, $6 vectors, $7 whether to wait for locks
SELECT attached, left_out FROM attach_embeddings_v2($1, $2, $3, $4, $5, $6::halfvec[], $7)
