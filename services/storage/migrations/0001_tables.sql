-- The tables and their partitions.
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
