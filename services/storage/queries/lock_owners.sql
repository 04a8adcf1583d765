-- Takes the lock of owners, in their order. Lists several owners.
-- $1 owners
SELECT o.owner FROM owners o WHERE o.owner = ANY ($1::uuid[]) ORDER BY o.owner FOR NO KEY UPDATE
