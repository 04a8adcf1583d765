-- timeline_floor
-- The first revision of this server's timeline; NULL on a replica, which has none of its own.
SELECT CASE WHEN NOT pg_is_in_recovery() THEN revision_floor_v1() END
