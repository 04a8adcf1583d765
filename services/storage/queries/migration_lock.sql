-- Waits until nobody else migrates.
SELECT pg_advisory_lock($1)
