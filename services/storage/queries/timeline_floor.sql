-- The first revision of this server's timeline.
SELECT revision_floor_v1()
