-- What was applied, with what its file was like.
SELECT number, digest FROM migrations
