-- What new states of memories are due for: $1 stages, $2 the model of each.
UPDATE meta SET due_stage = $1, due_model = $2
