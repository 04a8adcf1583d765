-- Commits a batch. Lists several owners, each with its operations.
SELECT committed, lineage, owner_revision, status, revision
FROM write_batch_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
                    $22, $23, $24, $25, $26, $27, $28, $29)
