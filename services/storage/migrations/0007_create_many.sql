-- Creates of one owner by the hundred, at about the price of a COPY.
--
-- Commits them as write_batch_v1 does, and lets it do so unless all are new for sure: the owner has no memory from the
-- least of their ids to the greatest, and nobody else makes one while the owner is locked. ON CONFLICT would look for
-- each one, and mark it in the WAL while that is not decided yet: a fifth of the whole.
--
-- Arguments are as there: an array of which every element is NULL may be NULL itself. Arrays are unnested in a SELECT's
-- list: each that is unnested in FROM is first stored, as rows of its own.
CREATE FUNCTION create_many_v1(
  p_owner uuid, p_tenant uuid, p_user text, p_id uuid[],
  p_occurred timestamptz[], p_until timestamptz[], p_offset smallint[], p_precision smallint[],
  p_local_day smallint[], p_kind smallint[], p_traits smallint[], p_analyzer smallint[],
  p_fingerprint bytea[], p_terms bytea[], p_text text[],
  p_conversation text[], p_speaker text[], p_position int[], p_language text[],
  p_place text[], p_latitude double precision[], p_longitude double precision[],
  p_labels text[], p_people text[], p_attachments text[],
  OUT committed timestamptz, OUT lineage bytea, OUT owner_revision bigint[],
  OUT status smallint[], OUT revision bigint[])
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
  v_floor constant bigint := revision_floor_v1();
  v_least constant uuid := (SELECT x FROM unnest(p_id) x ORDER BY x LIMIT 1);
  v_greatest constant uuid := (SELECT x FROM unnest(p_id) x ORDER BY x DESC LIMIT 1);
  v_next uuid; v_stage smallint[]; v_model smallint[]; v_revision bigint;
BEGIN
  -- No revision if the owner is erased.
  INSERT INTO owners AS t (owner, tenant, user_name, revision) VALUES (p_owner, p_tenant, p_user, v_floor + 1)
  ON CONFLICT (owner) DO UPDATE SET revision = greatest(t.revision + 1, v_floor) WHERE t.erase_time IS NULL
  RETURNING t.revision INTO v_revision;

  -- In the order of the primary key, so that it is read by no other index, whatever is known of the table.
  SELECT m.id INTO v_next FROM memories m WHERE m.owner = p_owner AND m.id >= v_least ORDER BY m.id LIMIT 1;
  IF v_revision IS NULL OR v_next <= v_greatest THEN
    SELECT b.* INTO committed, lineage, owner_revision, status, revision
    FROM write_batch_v1(
      ARRAY[p_owner], ARRAY[p_tenant], ARRAY[p_user], '{}', array_fill(0::smallint, ARRAY[cardinality(p_id)]),
      array_fill(1, ARRAY[cardinality(p_id)]), p_id, NULL, p_occurred, p_until, p_offset, p_precision, p_local_day,
      p_kind, p_traits, p_analyzer, p_fingerprint, p_terms, p_text, p_conversation, p_speaker, p_position,
      p_language, p_place, p_latitude, p_longitude, p_labels, p_people, p_attachments) b;
    RETURN;
  END IF;

  committed := now();
  owner_revision := ARRAY[v_revision];
  status := array_fill(1::smallint, ARRAY[cardinality(p_id)]);
  revision := array_fill(v_revision, ARRAY[cardinality(p_id)]);
  -- Only now, when this transaction has its number: who changes what is due waits for every older one.
  SELECT t.lineage, t.due_stage, t.due_model INTO lineage, v_stage, v_model FROM meta t;

  INSERT INTO memories (owner, id, revision, occurred_at, occurred_until, latitude, longitude, position,
    occurred_offset, occurred_precision, local_day, kind, traits, analyzer, fingerprint, terms, text,
    conversation, speaker, language, place, labels, people, attachments)
  SELECT p_owner, unnest(p_id), v_revision, unnest(p_occurred), unnest(p_until), unnest(p_latitude),
    unnest(p_longitude), unnest(p_position), unnest(p_offset), unnest(p_precision), unnest(p_local_day),
    unnest(p_kind), unnest(p_traits), unnest(p_analyzer), unnest(p_fingerprint), unnest(p_terms), unnest(p_text),
    unnest(p_conversation), unnest(p_speaker), unnest(p_language), unnest(p_place),
    unnest(p_labels)::text[], unnest(p_people)::text[], unnest(p_attachments)::jsonb;

  INSERT INTO analysis_due (owner, id, stage, model, memory_revision)
  SELECT p_owner, i, d.stage, d.model, v_revision
  FROM unnest(p_id) i CROSS JOIN unnest(v_stage, v_model) AS d (stage, model);
END $$;

GRANT EXECUTE ON FUNCTION create_many_v1 TO reverie_write;
