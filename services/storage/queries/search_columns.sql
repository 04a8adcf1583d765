-- All that ranking needs of an owner's living memories, a column in one value. One row.
-- Every column has a value in every row, or the columns would shift against each other. No end of a memory is
-- 1970, where segments have their zero.
-- $1 owner
SELECT
  string_agg(uuid_send(m.id), '') AS ids,
  string_agg(int8send(m.revision), '') AS revisions,
  string_agg(int4send(length(m.terms) / 4), '') AS lengths,
  string_agg(m.terms, '') AS terms,
  string_agg(timestamptz_send(m.occurred_at), '') AS occurred_at,
  string_agg(coalesce(timestamptz_send(m.occurred_until), int8send(-946684800000000)), '') AS occurred_until,
  string_agg(int2send(coalesce(m.occurred_offset, 0::smallint)), '') AS offset_minutes,
  string_agg(int2send(coalesce(m.occurred_precision, 0::smallint)), '') AS precisions,
  string_agg(int2send(coalesce(m.kind, 0::smallint)), '') AS kinds,
  string_agg(int2send(coalesce(m.traits, 0::smallint)), '') AS traits,
  string_agg(int4send(coalesce(m.position, 0)), '') AS positions,
  array_agg(coalesce(m.conversation, '')) AS conversations,
  array_agg(coalesce(m.speaker, '')) AS speakers,
  array_agg(coalesce(array_to_string(m.labels, E'\x1f'), '')) AS labels,
  array_agg(coalesce(array_to_string(m.people, E'\x1f'), '')) AS people
FROM memories m
WHERE m.owner = $1 AND m.delete_time IS NULL
