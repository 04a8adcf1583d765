-- Makes the partitions that are missing up to next year's.
SELECT extend_partitions_v3()
