-- Notes that a migration was applied: $1 number, $2 name, $3 digest of its file.
INSERT INTO migrations (number, name, digest) VALUES ($1, $2, $3)
