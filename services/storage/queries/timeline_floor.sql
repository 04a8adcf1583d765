-- The first revision of this server's timeline, NULL on a replica, which has none of its own; and an owner's revision
-- there. One row.
-- $1 owner
SELECT CASE WHEN NOT pg_is_in_recovery() THEN revision_floor_v1() END,
  coalesce((SELECT h.revision FROM owners h WHERE h.owner = $1), 0)
