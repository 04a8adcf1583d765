-- Statistics of small samples.
--
-- No plan depends on them (0006). By default autovacuum reads 30,000 rows with all of their columns for those of one
-- leaf, 0.2 to 0.3 s of a core, each time that it has grown by a tenth: an eighth of what an import takes in all.
-- 3,000 rows take a tenth of that.

-- As extend_partitions_v2, and sees to it that what is known of memories and vectors comes of small samples.
CREATE FUNCTION extend_partitions_v3() RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
  v_made constant int := extend_partitions_v2();
  v_alter text;
BEGIN
  FOR v_alter IN
    SELECT format('ALTER TABLE ONLY %s %s', p.relid::regclass,
                  string_agg(format('ALTER %I SET STATISTICS 10', a.attname), ', '))
    FROM unnest('{memories,embeddings}'::regclass[]) t, pg_partition_tree(t) p
    JOIN pg_attribute a ON a.attrelid = p.relid
    WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attstattarget IS DISTINCT FROM 10
    GROUP BY p.relid
  LOOP
    EXECUTE v_alter;
  END LOOP;
  RETURN v_made;
END $$;

SELECT extend_partitions_v3();
GRANT EXECUTE ON FUNCTION extend_partitions_v3 TO reverie_admin;
