-- Commits creates of one owner, which is $1. Arguments as of create_many_v1.
SELECT committed, lineage, owner_revision, status, revision
FROM create_many_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
                    $22, $23, $24, $25)
