-- All that ranking needs of an owner's living memories, a column in one value. One row.
-- Every column has a value in every row, or the columns would shift against each other; where few memories have
-- one, as with labels, the ids of those stand beside them. No end of a memory is 1970, where segments have
-- their zero. `small` is offset, precision, kind and traits, 16 bits each: an aggregate costs more than the bits.
-- $1 owner
SELECT
  string_agg(uuid_send(m.id), '') AS ids,
  string_agg(int8send(m.revision), '') AS revisions,
  string_agg(int4send(length(m.terms) / 4), '') AS lengths,
  string_agg(m.terms, '') AS terms,
  string_agg(timestamptz_send(m.occurred_at), '') AS occurred_at,
  string_agg(coalesce(timestamptz_send(m.occurred_until), int8send(-946684800000000)), '') AS occurred_until,
  string_agg(int8send(
    (coalesce(m.occurred_offset, 0)::bigint << 48) | (coalesce(m.occurred_precision, 0)::bigint << 32)
    | (coalesce(m.kind, 0)::bigint << 16) | coalesce(m.traits, 0)::bigint), '') AS small,
  string_agg(int4send(coalesce(m.position, 0)), '') AS positions,
  array_agg(coalesce(m.conversation, '')) AS conversations,
  array_agg(coalesce(m.speaker, '')) AS speakers,
  array_agg(array_to_string(m.labels, E'\x1f')) FILTER (WHERE m.labels IS NOT NULL) AS labels,
  string_agg(uuid_send(m.id), '') FILTER (WHERE m.labels IS NOT NULL) AS labelled,
  array_agg(array_to_string(m.people, E'\x1f')) FILTER (WHERE m.people IS NOT NULL) AS people,
  string_agg(uuid_send(m.id), '') FILTER (WHERE m.people IS NOT NULL) AS peopled
FROM memories m
WHERE m.owner = $1 AND m.delete_time IS NULL
