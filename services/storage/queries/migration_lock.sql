-- Waits until nobody else migrates: $1 the number of the lock.
SELECT pg_advisory_lock($1)
