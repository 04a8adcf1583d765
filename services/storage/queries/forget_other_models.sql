-- Drops what is due for other models of a stage: $1 owner, locked before, $2 stage, $3 model.
DELETE FROM analysis_due WHERE owner = $1 AND stage = $2 AND model <> $3
