-- Lets others migrate.
SELECT pg_advisory_unlock($1)
