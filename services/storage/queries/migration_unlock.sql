-- Lets others migrate: $1 the number of the lock.
SELECT pg_advisory_unlock($1)
