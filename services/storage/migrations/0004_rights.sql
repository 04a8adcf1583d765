-- Who may do what: each role as much as its statements need.
GRANT EXECUTE ON FUNCTION revision_floor_v1 TO reverie_read, reverie_write, reverie_analysis;

GRANT SELECT ON meta, owners, memories, embeddings, analysis_results, analysis_due TO reverie_read;

GRANT SELECT ON meta TO reverie_write;
GRANT SELECT, INSERT, UPDATE ON owners, memories TO reverie_write;
GRANT SELECT, INSERT, UPDATE, DELETE ON analysis_due TO reverie_write;
GRANT SELECT, DELETE ON embeddings, analysis_results TO reverie_write;
GRANT EXECUTE ON FUNCTION write_batch_v1 TO reverie_write;

GRANT SELECT ON meta, memories TO reverie_analysis;
GRANT SELECT, UPDATE ON owners TO reverie_analysis;
GRANT SELECT, UPDATE, DELETE ON analysis_due TO reverie_analysis;
GRANT SELECT, INSERT, UPDATE ON embeddings, analysis_results TO reverie_analysis;
GRANT EXECUTE ON FUNCTION attach_embeddings_v1, claim_due_v1 TO reverie_analysis;

GRANT SELECT ON meta, owners, memories, embeddings, analysis_results TO reverie_admin;
GRANT UPDATE ON owners TO reverie_admin;
GRANT SELECT, INSERT, UPDATE ON analysis_due TO reverie_admin;
GRANT EXECUTE ON FUNCTION extend_partitions_v1, make_due_v1 TO reverie_admin;
-- Autovacuum analyses leaves, never their parents.
GRANT MAINTAIN ON memories, embeddings TO reverie_admin;
