-- older_ended
-- Whether every transaction with a lower number has ended.
-- $1 the number
SELECT pg_snapshot_xmin(pg_current_snapshot()) >= $1::text::xid8
