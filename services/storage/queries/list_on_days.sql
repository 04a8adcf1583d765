-- Memories of an owner of given days in years before one, the newest first, and the state that they are of.
-- One row at least. A day of a year is looked for in the hours that it has in any time zone.
-- $1 owner, $2 days as month * 100 + day, $3 year, $4 $5 instant and id after which the page begins, $6 how many
SELECT h.revision, h.erase_time IS NOT NULL, t.lineage, t.now, {memory}
FROM (SELECT lineage, now() AS now FROM meta) t
LEFT JOIN owners h ON h.owner = $1
LEFT JOIN LATERAL (
  SELECT {memory}
  FROM (SELECT min(occurred_at) AS first, max(occurred_at) AS last FROM memories WHERE owner = $1) span
  CROSS JOIN LATERAL generate_series(
    greatest(extract(year FROM span.first AT TIME ZONE 'UTC')::int - 1, 1),
    least(extract(year FROM span.last AT TIME ZONE 'UTC')::int + 1, $3 - 1)) AS y (year)
  CROSS JOIN unnest($2::smallint[]) AS d (local_day)
  CROSS JOIN LATERAL (
    SELECT make_timestamptz(y.year, d.local_day / 100, 1, 0, 0, 0, 'UTC')
      + make_interval(days => d.local_day % 100 - 1) AS start) s
  CROSS JOIN LATERAL (
    SELECT {memory} FROM memories m
    WHERE m.owner = $1 AND m.delete_time IS NULL AND m.local_day = d.local_day
      AND m.occurred_at >= s.start - interval '18 hours' AND m.occurred_at < s.start + interval '42 hours'
      AND m.occurred_at <= $4 AND (m.occurred_at, m.id) < ($4, $5::uuid) OFFSET 0) m
  ORDER BY m.occurred_at DESC, m.id DESC LIMIT $6) m ON true
ORDER BY m.occurred_at DESC, m.id DESC
