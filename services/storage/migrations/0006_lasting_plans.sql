-- Plans that last.
--
-- A connection keeps its plan of each statement, for all leaves: 10 to 20 ms to make. What is vacuumed or analysed
-- makes every plan void that it is part of, in every connection. By PostgreSQL's thresholds, 50 rows and a share,
-- owners and analysis_due were analysed every few seconds under load, and so everything was planned anew that
-- often: 200 calls a second waited 700 ms in each second for plans, together.
--
-- What is known of these two decides no plan: the one is looked up by its key, the other is empty and full by
-- turns (see claim_due_v1).
ALTER TABLE owners SET (autovacuum_analyze_threshold = 1000000, autovacuum_vacuum_threshold = 5000);
ALTER TABLE analysis_due SET (autovacuum_analyze_threshold = 1000000, autovacuum_vacuum_threshold = 5000);

-- As extend_partitions_v1, and sees to it that leaves are vacuumed and analysed when that is worth new plans.
CREATE FUNCTION extend_partitions_v2() RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
  v_made constant int := extend_partitions_v1();
  v_leaf regclass;
BEGIN
  FOR v_leaf IN
    SELECT p.relid FROM unnest('{memories,embeddings}'::regclass[]) t, pg_partition_tree(t) p
    JOIN pg_class c ON c.oid = p.relid
    WHERE p.isleaf AND NOT 'autovacuum_analyze_threshold=1000' = ANY (coalesce(c.reloptions, '{}'))
  LOOP
    EXECUTE format('ALTER TABLE %s SET (autovacuum_vacuum_threshold = 1000, autovacuum_analyze_threshold = 1000,
                    autovacuum_analyze_scale_factor = 0.1)', v_leaf);
  END LOOP;
  RETURN v_made;
END $$;

SELECT extend_partitions_v2();
GRANT EXECUTE ON FUNCTION extend_partitions_v2 TO reverie_admin;
