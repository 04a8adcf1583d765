-- transaction
-- The number of a transaction that begins now.
SELECT pg_current_xact_id()::text
