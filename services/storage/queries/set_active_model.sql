-- Makes a model the one that answers: $1.
UPDATE meta SET active_model = $1
