-- Makes memories of an owner due for a stage and model: $1 owner, $2 stage, $3 model. Locks the owner.
SELECT make_due_v1($1, $2, $3)
