-- Over all owners.
SELECT owner FROM owners ORDER BY owner
