-- Claims due analyses. Over all owners.
-- $1 stage, $2 model, $3 how many, $4 lease, $5 attempts that each has, $6 $7 hinted owners and ids, $8 where the turn begins
SELECT owner, id, memory_revision, attempt, text, language
FROM claim_due_v1($1, $2, $3, $4, $5, $6, $7, $8)
