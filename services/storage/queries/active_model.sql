-- The model that answers.
SELECT active_model FROM meta
