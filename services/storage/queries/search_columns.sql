-- All that ranking needs of an owner's living memories, a column in one value. One row.
-- Every column has a value in every row, or the columns would shift against each other; what few memories have
-- (an end, labels, people) stands beside the ids of those. An aggregate costs more than bits do, so `small` is offset,
-- precision, kind and traits, 16 bits each, and `sizes` is position and number of terms. No text holds a zero byte,
-- which therefore parts texts; no end of a memory is 1970, where segments have their zero.
-- $1 owner
SELECT
  string_agg(uuid_send(m.id), '') AS ids,
  string_agg(int8send(m.revision), '') AS revisions,
  string_agg(int8send((coalesce(m.position, 0)::bigint << 32) | (length(m.terms) / 4)), '') AS sizes,
  string_agg(m.terms, '') AS terms,
  string_agg(timestamptz_send(m.occurred_at), '') AS occurred_at,
  string_agg(int8send(
    (coalesce(m.occurred_offset, 0)::bigint << 48) | (coalesce(m.occurred_precision, 0)::bigint << 32)
    | (coalesce(m.kind, 0)::bigint << 16) | coalesce(m.traits, 0)::bigint), '') AS small,
  string_agg(textsend(coalesce(m.conversation, '')), '\x00') AS conversations,
  string_agg(textsend(coalesce(m.speaker, '')), '\x00') AS speakers,
  string_agg(uuid_send(m.id), '') FILTER (WHERE m.occurred_until IS NOT NULL) AS ended,
  string_agg(timestamptz_send(m.occurred_until), '') FILTER (WHERE m.occurred_until IS NOT NULL) AS ends,
  string_agg(uuid_send(m.id), '') FILTER (WHERE m.labels IS NOT NULL OR m.people IS NOT NULL) AS tagged,
  array_agg(coalesce(array_to_string(m.labels, E'\x1f'), ''))
    FILTER (WHERE m.labels IS NOT NULL OR m.people IS NOT NULL) AS labels,
  array_agg(coalesce(array_to_string(m.people, E'\x1f'), ''))
    FILTER (WHERE m.labels IS NOT NULL OR m.people IS NOT NULL) AS people
FROM memories m
WHERE m.owner = $1 AND m.delete_time IS NULL
