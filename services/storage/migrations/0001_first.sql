-- The tables, the functions that write them, and who may do what.
--
-- Applied by reverie_migrate, which owns everything here. Needs PL/pgSQL and the extension `vector` only.
-- Every table of user data has `owner` first in its primary key. Functions carry a version: a later migration
-- adds write_batch_v2 beside write_batch_v1, so that the version of storage before it goes on working.

DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector') THEN
    RAISE EXCEPTION 'the extension vector is missing: a superuser creates it with CREATE EXTENSION vector';
  END IF;
END $$;

ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

-- One row: what holds for the whole database.
CREATE TABLE meta (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  lineage bytea NOT NULL,               -- names this history; a restore to an earlier point must change it
  first_year smallint NOT NULL,         -- memories with earlier ids lie in the leaves named `before`
  ranking smallint NOT NULL,            -- version of scoring: an answer cached under another one is void
  active_model smallint NOT NULL,       -- the embedding model that answers questions
  due_stage smallint[] NOT NULL,        -- what a new state of a memory is due for: stages ..
  due_model smallint[] NOT NULL,        -- .. and, at the same place, the model of each
  CHECK (cardinality(due_stage) = cardinality(due_model))
);
INSERT INTO meta (lineage, first_year, ranking, active_model, due_stage, due_model)
VALUES (uuid_send(gen_random_uuid()), extract(year FROM now() AT TIME ZONE 'UTC'), 1, 1, '{1}', '{1}');

-- The tenant's id is the namespace of its owners: owner = uuid5(tenant, user).
CREATE TABLE tenants (
  tenant uuid PRIMARY KEY,
  name text NOT NULL UNIQUE,
  create_time timestamptz NOT NULL DEFAULT now()
);

-- Every transaction that writes rows of an owner updates or locks its row here first, in the order of owners.
-- A snapshot that shows revision r shows every change of that owner up to r, and none after it.
CREATE TABLE owners (
  owner uuid PRIMARY KEY,
  tenant uuid NOT NULL,
  revision bigint NOT NULL,             -- greatest(last + 1, timeline << 40): two histories share none
  create_time timestamptz NOT NULL DEFAULT now(),
  erase_time timestamptz,               -- from then on everything of this owner is as if it were not there
  user_name text NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);

-- Widest alignment first. A tombstone keeps owner, id, revision and delete_time; the rest of it is NULL.
CREATE TABLE memories (
  owner uuid NOT NULL,
  id uuid NOT NULL,
  revision bigint NOT NULL,             -- of the last change by a client; its etag
  previous_revision bigint,             -- that the last update started from
  create_time timestamptz NOT NULL DEFAULT now(),
  update_time timestamptz,
  delete_time timestamptz,
  occurred_at timestamptz,
  occurred_until timestamptz,
  latitude double precision,
  longitude double precision,
  position integer,
  occurred_offset smallint,             -- minutes that the person's clock was ahead of UTC
  occurred_precision smallint,
  local_day smallint,                   -- month * 100 + day by that clock; NULL where the day is not known
  kind smallint,
  traits smallint,
  analyzer smallint,                    -- version of the way from text to terms and traits
  fingerprint bytea,                    -- of the create; updates leave it
  terms bytea,                          -- hashes of stems, 4 bytes each, little-endian
  text text,
  conversation text,
  speaker text,
  language text,
  place text,
  labels text[],
  people text[],
  attachments jsonb
) PARTITION BY HASH (owner);
-- Compressing hashes gains nothing.
ALTER TABLE memories ALTER terms SET STORAGE MAIN;
-- Primary keys come after the other indexes of a table. While a table is empty every index costs the same, and
-- of those the planner takes the one that was made last; the plan that it makes then is kept until the table is
-- analysed. By another index a look-up by id would read all of an owner's rows.
CREATE INDEX memories_occurred ON memories (owner, occurred_at DESC, id DESC);
CREATE INDEX memories_revision ON memories (owner, revision);
ALTER TABLE memories ADD PRIMARY KEY (owner, id);

-- The queue of analysis: a row is work to do, its absence is work done, dead_at makes it a dead letter.
CREATE TABLE analysis_due (
  owner uuid NOT NULL,
  id uuid NOT NULL,
  memory_revision bigint NOT NULL,      -- the state of the memory that is to be analysed
  due_at timestamptz NOT NULL DEFAULT now(),
  not_before timestamptz NOT NULL DEFAULT now(),
  dead_at timestamptz,
  stage smallint NOT NULL,
  model smallint NOT NULL,
  attempts smallint NOT NULL DEFAULT 0, -- raised by the claim, so that work that kills its worker counts too
  first_error text,
  last_error text
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX analysis_due_ready ON analysis_due (stage, model, not_before) WHERE dead_at IS NULL;
CREATE INDEX analysis_due_dead ON analysis_due (dead_at, owner, id, stage, model) WHERE dead_at IS NOT NULL;
ALTER TABLE analysis_due ADD PRIMARY KEY (owner, id, stage, model);

-- What stages other than embedding found.
CREATE TABLE analysis_results (
  owner uuid NOT NULL,
  id uuid NOT NULL,
  revision bigint NOT NULL,
  stage smallint NOT NULL,
  model smallint NOT NULL,
  result jsonb NOT NULL
);
CREATE INDEX analysis_results_revision ON analysis_results (owner, revision);
ALTER TABLE analysis_results ADD PRIMARY KEY (owner, id, stage, model);

-- Vectors of several models side by side. No ANN index: inside one owner the exact scan is faster and right.
CREATE TABLE embeddings (
  owner uuid NOT NULL,
  id uuid NOT NULL,
  revision bigint NOT NULL,
  model smallint NOT NULL,
  emb halfvec NOT NULL
) PARTITION BY HASH (owner);
ALTER TABLE embeddings ALTER emb SET STORAGE PLAIN;
CREATE INDEX embeddings_revision ON embeddings (owner, model, revision);
ALTER TABLE embeddings ADD PRIMARY KEY (owner, model, id);

DO $$ BEGIN
  FOR i IN 0..15 LOOP
    EXECUTE format('CREATE TABLE memories_%1$s PARTITION OF memories
                    FOR VALUES WITH (MODULUS 16, REMAINDER %1$s) PARTITION BY RANGE (id)', i);
    EXECUTE format('CREATE TABLE embeddings_%1$s PARTITION OF embeddings
                    FOR VALUES WITH (MODULUS 16, REMAINDER %1$s)
                    WITH (autovacuum_vacuum_insert_scale_factor = 0.05)', i);
    EXECUTE format('ALTER TABLE embeddings_%s ALTER emb SET STORAGE PLAIN', i);
  END LOOP;
END $$;

-- The least UUID of version 7 or 8 that a year has.
CREATE FUNCTION first_id_v1(p_year int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
  SELECT rpad(lpad(to_hex(extract(epoch FROM make_timestamptz(p_year, 1, 1, 0, 0, 0, 'UTC'))::bigint * 1000),
                   12, '0'), 32, '0')::uuid
$$;

-- Makes the leaves that are missing up to next year's and returns how many. Waits for no lock beyond 2 s.
-- Runs with the owner's rights, since storage's upkeep calls it.
CREATE FUNCTION extend_partitions_v1() RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
  v_first int := (SELECT first_year FROM meta);
  v_last int := extract(year FROM now() AT TIME ZONE 'UTC')::int + 1;
  v_parent text; v_leaf text; v_from text; v_made int := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(7283914606);  -- several instances of storage do upkeep
  FOR v_year IN v_first - 1 .. v_last LOOP
    FOR i IN 0..15 LOOP
      v_parent := format('memories_%s', i);
      v_leaf := format('%s_%s', v_parent, CASE WHEN v_year < v_first THEN 'before' ELSE v_year::text END);
      CONTINUE WHEN to_regclass(v_leaf) IS NOT NULL;
      v_from := CASE WHEN v_year < v_first THEN 'MINVALUE' ELSE quote_literal(first_id_v1(v_year)) END;
      -- Made apart and attached: that blocks neither readers nor writers of the parent.
      EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING STORAGE INCLUDING CONSTRAINTS)
                      WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05,
                            autovacuum_analyze_scale_factor = 0.02)', v_leaf, v_parent);
      EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%L)',
                     v_parent, v_leaf, v_from, first_id_v1(v_year + 1));
      v_made := v_made + 1;
    END LOOP;
  END LOOP;
  RETURN v_made;
END $$;
SELECT extend_partitions_v1();

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
  SELECT t.lineage, t.due_stage, t.due_model INTO lineage, v_stage, v_model FROM meta t;

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

-- Attaches vectors of one owner's memories; returns how many. Decides by deleting the due row of the state
-- that was worked on: where there is none, the content moved on, is gone, or was done before.
CREATE FUNCTION attach_embeddings_v1(
  p_owner uuid, p_stage smallint, p_model smallint, p_id uuid[], p_memory_revision bigint[], p_emb halfvec[])
RETURNS int LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE v_floor constant bigint := revision_floor_v1(); v_revision bigint; v_erased boolean; v_attached int;
BEGIN
  UPDATE owners AS t SET revision = greatest(t.revision + 1, v_floor) WHERE t.owner = p_owner
    RETURNING t.revision, t.erase_time IS NOT NULL INTO v_revision, v_erased;
  IF v_revision IS NULL OR v_erased THEN RETURN 0; END IF;
  WITH x AS (SELECT * FROM unnest(p_id, p_memory_revision, p_emb) AS x (id, memory_revision, emb)),
  done AS (
    DELETE FROM analysis_due d USING x
    WHERE d.owner = p_owner AND d.id = x.id AND d.stage = p_stage AND d.model = p_model
      AND d.memory_revision = x.memory_revision
    RETURNING d.id),
  kept AS (
    INSERT INTO embeddings AS e (owner, model, id, revision, emb)
    SELECT p_owner, p_model, x.id, v_revision, x.emb FROM x JOIN done ON done.id = x.id
    ON CONFLICT (owner, model, id) DO UPDATE SET revision = excluded.revision, emb = excluded.emb
    RETURNING 1)
  SELECT count(*) INTO v_attached FROM kept;
  RETURN v_attached;
END $$;

-- Claims up to p_limit due analyses for p_lease: hinted ones first, then a few of each of some owners from p_start
-- on (so that nobody's import makes the others wait), then the oldest. What has used up its attempts becomes a
-- dead letter instead. Waits for no lock.
--
-- The queue is empty at one moment and has 100,000 rows at the next, so no plan may rest on what the planner
-- knows of it: a row is looked up by a LATERAL that cannot be turned round, by conditions that only the primary
-- key serves (the partial indexes need `dead_at IS [NOT] NULL`), and changed by its ctid. 7 ms with 20,000 rows
-- ready; as a plain join it took 1 s until the table was analysed.
CREATE FUNCTION claim_due_v1(
  p_stage smallint, p_model smallint, p_limit int, p_lease interval, p_max_attempts int,
  p_hint_owner uuid[], p_hint_id uuid[], p_start uuid)
RETURNS TABLE (owner uuid, id uuid, memory_revision bigint, attempt smallint, text text, language text)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
  v_silent constant text := 'every attempt ended without a report';
  v_owner uuid[]; v_id uuid[]; v_revision bigint[]; v_attempt smallint[];
BEGIN
  WITH RECURSIVE turn AS (
    SELECT p_start AS owner
    UNION  -- ends the walk when it has come round
    SELECT coalesce((SELECT d.owner FROM analysis_due d WHERE d.owner > t.owner ORDER BY d.owner LIMIT 1),
                    (SELECT d.owner FROM analysis_due d ORDER BY d.owner LIMIT 1)) FROM turn t),
  candidate AS (
    SELECT h.owner, h.id, 1 AS rank FROM unnest(p_hint_owner, p_hint_id) AS h (owner, id)
    UNION ALL
    SELECT t.owner, f.id, 2 FROM (SELECT owner FROM turn LIMIT 9) t CROSS JOIN LATERAL (
      SELECT d.id FROM analysis_due d
      WHERE d.owner = t.owner AND d.stage = p_stage AND d.model = p_model
        AND coalesce(d.dead_at, 'infinity') = 'infinity' AND d.not_before <= now()
      LIMIT greatest(p_limit / 8, 1)) f
    UNION ALL
    (SELECT d.owner, d.id, 3 FROM analysis_due d
     WHERE d.stage = p_stage AND d.model = p_model AND d.dead_at IS NULL AND d.not_before <= now()
     ORDER BY d.not_before LIMIT 2 * p_limit)),
  ranked AS (SELECT c.owner, c.id FROM candidate c GROUP BY c.owner, c.id ORDER BY min(c.rank)),
  picked AS (
    SELECT k.place FROM ranked r CROSS JOIN LATERAL (
      SELECT d.ctid AS place FROM analysis_due d
      WHERE d.owner = r.owner AND d.id = r.id AND d.stage = p_stage AND d.model = p_model
        AND coalesce(d.dead_at, 'infinity') = 'infinity' AND d.not_before <= now()
      FOR UPDATE SKIP LOCKED) k
    LIMIT p_limit),
  claimed AS (
    UPDATE analysis_due d SET not_before = now() + p_lease,
      attempts = least(d.attempts + 1, p_max_attempts),
      dead_at = CASE WHEN d.attempts >= p_max_attempts THEN now() END,
      first_error = CASE WHEN d.attempts < p_max_attempts THEN d.first_error
                         ELSE coalesce(d.first_error, v_silent) END,
      last_error = CASE WHEN d.attempts < p_max_attempts THEN d.last_error
                        ELSE coalesce(d.last_error, v_silent) END
    WHERE d.ctid = ANY (ARRAY(SELECT p.place FROM picked p))
    RETURNING d.owner, d.id, d.memory_revision, d.attempts, d.dead_at)
  SELECT array_agg(c.owner), array_agg(c.id), array_agg(c.memory_revision), array_agg(c.attempts)
  INTO v_owner, v_id, v_revision, v_attempt FROM claimed c WHERE c.dead_at IS NULL;

  -- A snapshot of its own: the statement above may have locked a newer state of a due row than it could see
  -- of the memory. A memory that changed since has become due anew and is left out.
  RETURN QUERY
    SELECT x.owner, x.id, x.memory_revision, x.attempt, m.text, m.language
    FROM unnest(v_owner, v_id, v_revision, v_attempt) AS x (owner, id, memory_revision, attempt)
    CROSS JOIN LATERAL (
      SELECT q.text, q.language FROM memories q
      WHERE q.owner = x.owner AND q.id = x.id AND q.revision = x.memory_revision AND q.delete_time IS NULL
      OFFSET 0) m
    WHERE NOT EXISTS (SELECT FROM owners o WHERE o.owner = x.owner AND o.erase_time IS NOT NULL);
END $$;

-- Makes living memories of an owner due for a stage and model, where they lack its vector; returns how many.
CREATE FUNCTION make_due_v1(p_owner uuid, p_stage smallint, p_model smallint) RETURNS int
LANGUAGE plpgsql VOLATILE AS $$
DECLARE v_made int;
BEGIN
  PERFORM FROM owners o WHERE o.owner = p_owner FOR NO KEY UPDATE;
  INSERT INTO analysis_due (owner, id, stage, model, memory_revision)
    SELECT m.owner, m.id, p_stage, p_model, m.revision FROM memories m
    WHERE m.owner = p_owner AND m.delete_time IS NULL AND NOT EXISTS (
      SELECT FROM embeddings e WHERE e.owner = p_owner AND e.model = p_model AND e.id = m.id)
    ON CONFLICT (owner, id, stage, model) DO NOTHING;
  GET DIAGNOSTICS v_made = ROW_COUNT;
  RETURN v_made;
END $$;

-- Each role may do what its statements need.
GRANT EXECUTE ON FUNCTION revision_floor_v1 TO reverie_read, reverie_write, reverie_analysis;

GRANT SELECT ON meta, owners, memories, embeddings, analysis_results, analysis_due TO reverie_read;

GRANT SELECT ON meta TO reverie_write;
GRANT SELECT, INSERT, UPDATE ON owners, memories TO reverie_write;
GRANT SELECT, INSERT, UPDATE, DELETE ON analysis_due TO reverie_write;
GRANT SELECT, DELETE ON embeddings, analysis_results TO reverie_write;
GRANT EXECUTE ON FUNCTION write_batch_v1 TO reverie_write;

GRANT SELECT ON meta, memories TO reverie_analysis;
GRANT SELECT, UPDATE ON owners TO reverie_analysis;
GRANT SELECT, UPDATE, DELETE ON analysis_due TO reverie_analysis;
GRANT SELECT, INSERT, UPDATE ON embeddings, analysis_results TO reverie_analysis;
GRANT EXECUTE ON FUNCTION attach_embeddings_v1, claim_due_v1 TO reverie_analysis;

GRANT SELECT ON meta, owners, memories, embeddings, analysis_results TO reverie_admin;
GRANT UPDATE ON owners TO reverie_admin;
GRANT SELECT, INSERT, UPDATE ON analysis_due TO reverie_admin;
GRANT EXECUTE ON FUNCTION extend_partitions_v1, make_due_v1 TO reverie_admin;
-- Autovacuum analyses leaves, never their parents.
GRANT MAINTAIN ON memories, embeddings TO reverie_admin;
