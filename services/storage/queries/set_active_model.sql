-- Which model answers.
UPDATE meta SET active_model = $1
