-- Attaches vectors of several owners' memories, as attach_embeddings_v1 does for one: a worker's whole claim takes
-- one call and one commit. Who is locked is left out and told, so that nobody's import makes others wait while their
-- locks are held; or waited for, with p_wait.
--
-- The queue may be empty or huge: a due row is looked up by its primary key in a LATERAL, and goes by its ctid (see
-- claim_due_v1). Locking a row there finds its newest state.
CREATE FUNCTION attach_embeddings_v2(
  p_stage smallint, p_model smallint, p_owner uuid[], p_id uuid[], p_memory_revision bigint[], p_emb halfvec[],
  p_wait boolean, OUT attached int, OUT left_out uuid[])
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE v_floor constant bigint := revision_floor_v1(); v_owner uuid[]; v_revision bigint[]; v_erased boolean[];
BEGIN
  IF p_wait THEN
    PERFORM FROM owners o WHERE o.owner = ANY (p_owner) ORDER BY o.owner FOR NO KEY UPDATE;
  END IF;
  WITH free AS MATERIALIZED (
    SELECT o.owner FROM owners o WHERE o.owner = ANY (p_owner) FOR NO KEY UPDATE SKIP LOCKED),
  moved AS (
    UPDATE owners t SET revision = greatest(t.revision + 1, v_floor) FROM free WHERE t.owner = free.owner
    RETURNING t.owner, t.revision, t.erase_time IS NOT NULL AS erased)
  SELECT array_agg(m.owner), array_agg(m.revision), array_agg(m.erased)
  INTO v_owner, v_revision, v_erased FROM moved m;
  left_out := ARRAY(SELECT DISTINCT x FROM unnest(p_owner) x WHERE NOT x = ANY (coalesce(v_owner, '{}')));

  -- A snapshot of its own: it shows what those committed who held the locks before.
  WITH x AS (
    SELECT r.owner, r.id, r.memory_revision, r.emb, o.revision
    FROM unnest(p_owner, p_id, p_memory_revision, p_emb) AS r (owner, id, memory_revision, emb)
    JOIN unnest(v_owner, v_revision, v_erased) AS o (owner, revision, erased) ON o.owner = r.owner
    WHERE NOT o.erased),
  found AS MATERIALIZED (
    SELECT k.place FROM x CROSS JOIN LATERAL (
      SELECT d.ctid AS place FROM analysis_due d
      WHERE d.owner = x.owner AND d.id = x.id AND d.stage = p_stage AND d.model = p_model
        AND d.memory_revision = x.memory_revision
      FOR UPDATE) k),
  done AS (
    DELETE FROM analysis_due d WHERE d.ctid = ANY (ARRAY(SELECT f.place FROM found f)) RETURNING d.owner, d.id),
  kept AS (
    INSERT INTO embeddings AS e (owner, model, id, revision, emb)
    SELECT x.owner, p_model, x.id, x.revision, x.emb FROM x JOIN done ON done.owner = x.owner AND done.id = x.id
    ON CONFLICT (owner, model, id) DO UPDATE SET revision = excluded.revision, emb = excluded.emb
    RETURNING 1)
  SELECT count(*) INTO attached FROM kept;
END $$;

GRANT EXECUTE ON FUNCTION attach_embeddings_v2 TO reverie_analysis;
