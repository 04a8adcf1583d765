-- The function that commits a batch of writes.

-- The first revision of this server's timeline. Raises on a replica.
CREATE FUNCTION revision_floor_v1() RETURNS bigint LANGUAGE sql VOLATILE AS $$
  SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint << 40
$$;

-- Commits a batch: p_owner, p_tenant, p_user have an element an owner, sorted by owner, each once; the arrays
-- from p_op on have one for each operation, at most one operation for an owner and id. An array of which every
-- element is NULL may be NULL itself.
--   p_op: 0 create, 1 update, 2 delete.   p_changes: the places of updates and deletes.
--   p_o: place of the owner.              p_from: revision to start from; NULL in a delete: any.
--   p_labels, p_people: array literals.   p_attachments: JSON.
-- status: 1 written, 2 already there, 3 another body, 4 deleted, 5 owner erased, 6 not found, 7 another state.
CREATE FUNCTION write_batch_v1(
  p_owner uuid[], p_tenant uuid[], p_user text[], p_changes int[],
  p_op smallint[], p_o int[], p_id uuid[], p_from bigint[],
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
  v_creates constant int := cardinality(p_id) - cardinality(p_changes);
  v_owner uuid[]; v_erased boolean[]; v_stage smallint[]; v_model smallint[];
  v_new int; v_o uuid; v_r bigint; i int; k record;
BEGIN
  committed := now();

  -- 1. Lock every owner, in their order. Everything after this sees what the holder before us committed.
  WITH locked AS (
    INSERT INTO owners AS t (owner, tenant, user_name, revision)
    SELECT x.owner, x.tenant, x.user_name, v_floor + 1
    FROM unnest(p_owner, p_tenant, p_user) AS x (owner, tenant, user_name) ORDER BY x.owner
    ON CONFLICT (owner) DO UPDATE SET revision = greatest(t.revision + 1, v_floor)
    RETURNING t.owner, t.revision, t.erase_time IS NOT NULL AS erased)
  SELECT array_agg(l.owner ORDER BY l.owner), array_agg(l.revision ORDER BY l.owner),
         array_agg(l.erased ORDER BY l.owner)
  INTO v_owner, owner_revision, v_erased FROM locked l;
  IF v_owner IS DISTINCT FROM p_owner THEN
    RAISE EXCEPTION USING ERRCODE = 'assert_failure', MESSAGE = 'p_owner must be sorted';
  END IF;

  -- Only now, when this transaction has its number: who changes what is due waits for every older one.
  SELECT t.lineage, t.due_stage, t.due_model INTO lineage, v_stage, v_model FROM meta t;

  -- 2. Create: what is there already stays as it is.
  IF v_creates > 0 THEN
    WITH made AS (
      INSERT INTO memories (owner, id, revision, occurred_at, occurred_until, latitude, longitude, position,
        occurred_offset, occurred_precision, local_day, kind, traits, analyzer, fingerprint, terms, text,
        conversation, speaker, language, place, labels, people, attachments)
      SELECT p_owner[x.o], x.id, owner_revision[x.o], x.occurred, x.until, x.latitude, x.longitude, x.position,
        x.off, x.prec, x.local_day, x.kind, x.traits, x.analyzer, x.fingerprint, x.terms, x.text,
        x.conversation, x.speaker, x.language, x.place, x.labels::text[], x.people::text[], x.attachments::jsonb
      FROM unnest(p_op, p_o, p_id, p_occurred, p_until, p_offset, p_precision, p_local_day, p_kind, p_traits,
          p_analyzer, p_fingerprint, p_terms, p_text, p_conversation, p_speaker, p_position, p_language, p_place,
          p_latitude, p_longitude, p_labels, p_people, p_attachments)
        AS x (op, o, id, occurred, until, off, prec, local_day, kind, traits, analyzer, fingerprint, terms, text,
          conversation, speaker, position, language, place, latitude, longitude, labels, people, attachments)
      WHERE x.op = 0 AND NOT v_erased[x.o]
      ON CONFLICT (owner, id) DO NOTHING RETURNING owner, id, revision),
    due AS (
      INSERT INTO analysis_due (owner, id, stage, model, memory_revision)
      SELECT m.owner, m.id, d.stage, d.model, m.revision
      FROM made m CROSS JOIN unnest(v_stage, v_model) AS d (stage, model))
    SELECT count(*) INTO v_new FROM made;
  END IF;

  -- 3. Classify, in a fresh snapshot: a row with this transaction's revision was inserted just now.
  --    The places of updates and deletes are filled in below.
  IF v_new = v_creates THEN
    SELECT array_agg(1::smallint), array_agg(owner_revision[x.o] ORDER BY x.ord)
    INTO status, revision FROM unnest(p_o) WITH ORDINALITY AS x (o, ord);
  ELSE
    SELECT array_agg(CASE WHEN v_erased[x.o] THEN 5 WHEN m.revision = owner_revision[x.o] THEN 1
                          WHEN m.delete_time IS NOT NULL THEN 4 WHEN m.fingerprint = x.fingerprint THEN 2
                          ELSE 3 END::smallint ORDER BY x.ord),
           array_agg(CASE WHEN NOT v_erased[x.o] THEN m.revision END ORDER BY x.ord)
    INTO status, revision
    FROM unnest(p_op, p_o, p_id, p_fingerprint) WITH ORDINALITY AS x (op, o, id, fingerprint, ord)
    LEFT JOIN LATERAL (
      SELECT q.revision, q.delete_time, q.fingerprint FROM memories q
      WHERE x.op = 0 AND q.owner = p_owner[x.o] AND q.id = x.id OFFSET 0) m ON true;
  END IF;

  -- 4. Update and delete one by one: scalar predicates prune to one leaf, a join would look at all of them.
  FOREACH i IN ARRAY p_changes LOOP
    v_o := p_owner[p_o[i]]; v_r := owner_revision[p_o[i]];
    IF v_erased[p_o[i]] THEN status[i] := 5; revision[i] := NULL; CONTINUE; END IF;
    IF p_op[i] = 1 THEN
      UPDATE memories AS m SET revision = v_r, previous_revision = m.revision, update_time = now(),
        occurred_at = p_occurred[i], occurred_until = p_until[i], occurred_offset = p_offset[i],
        occurred_precision = p_precision[i], local_day = p_local_day[i], traits = p_traits[i],
        analyzer = p_analyzer[i], terms = p_terms[i], text = p_text[i], language = p_language[i],
        place = p_place[i], latitude = p_latitude[i], longitude = p_longitude[i],
        labels = p_labels[i]::text[], people = p_people[i]::text[], attachments = p_attachments[i]::jsonb
      WHERE m.owner = v_o AND m.id = p_id[i] AND m.revision = p_from[i] AND m.delete_time IS NULL;
    ELSE
      UPDATE memories AS m SET revision = v_r, previous_revision = NULL, delete_time = now(), update_time = NULL,
        occurred_at = NULL, occurred_until = NULL, latitude = NULL, longitude = NULL, position = NULL,
        occurred_offset = NULL, occurred_precision = NULL, local_day = NULL, kind = NULL, traits = NULL,
        analyzer = NULL, fingerprint = NULL, terms = NULL, text = NULL, conversation = NULL, speaker = NULL,
        language = NULL, place = NULL, labels = NULL, people = NULL, attachments = NULL
      WHERE m.owner = v_o AND m.id = p_id[i] AND m.delete_time IS NULL
        AND (p_from[i] IS NULL OR m.revision = p_from[i]);
    END IF;
    IF FOUND THEN
      -- What was found in the old content, by whichever stage and model, goes with it.
      DELETE FROM embeddings e WHERE e.owner = v_o AND e.id = p_id[i];
      DELETE FROM analysis_results r WHERE r.owner = v_o AND r.id = p_id[i];
      IF p_op[i] = 1 THEN
        UPDATE analysis_due d SET memory_revision = v_r, attempts = 0, due_at = now(), not_before = now(),
            first_error = NULL, last_error = NULL, dead_at = NULL
          WHERE d.owner = v_o AND d.id = p_id[i];
        INSERT INTO analysis_due (owner, id, stage, model, memory_revision)
          SELECT v_o, p_id[i], d.stage, d.model, v_r FROM unnest(v_stage, v_model) AS d (stage, model)
          ON CONFLICT (owner, id, stage, model) DO NOTHING;
      ELSE
        DELETE FROM analysis_due d WHERE d.owner = v_o AND d.id = p_id[i];
      END IF;
      status[i] := 1; revision[i] := v_r; CONTINUE;
    END IF;
    SELECT m.revision, m.delete_time, m.previous_revision = p_from[i]
        AND (m.text, m.occurred_at, m.occurred_until, m.occurred_offset, m.occurred_precision, m.language,
             m.place, m.latitude, m.longitude, m.labels, m.people, m.attachments)
          IS NOT DISTINCT FROM
            (p_text[i], p_occurred[i], p_until[i], p_offset[i], p_precision[i], p_language[i],
             p_place[i], p_latitude[i], p_longitude[i], p_labels[i]::text[], p_people[i]::text[],
             p_attachments[i]::jsonb) AS repeated
      INTO k FROM memories m WHERE m.owner = v_o AND m.id = p_id[i];
    status[i] := CASE WHEN k.revision IS NULL THEN 6
                      WHEN k.delete_time IS NOT NULL THEN CASE p_op[i] WHEN 2 THEN 2 ELSE 4 END
                      WHEN p_op[i] = 1 AND k.repeated THEN 2 ELSE 7 END;
    revision[i] := k.revision;
  END LOOP;
END $$;
