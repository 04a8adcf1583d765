-- The functions of the queue of analysis.

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
