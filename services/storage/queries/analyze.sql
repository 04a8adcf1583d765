-- Statistics of the parents of partitions.
ANALYZE ONLY memories, ONLY embeddings
