-- Red/green proofs.

-- name: lock_numbers
-- Ends with the transaction, so numbers have no gaps.
SELECT pg_advisory_xact_lock(hashtext('kintsugi.proofs'))

-- name: last_number
SELECT coalesce(max(number), 0) FROM kintsugi.proofs

-- name: add
INSERT INTO kintsugi.proofs (number, incident_id, at, passed, record) VALUES (%s, %s, %s, %s, %s)

-- name: get
SELECT record FROM kintsugi.proofs WHERE number = %s

-- name: page
SELECT number, record
FROM kintsugi.proofs
WHERE (%(any_incident)s OR incident_id = ANY(%(incidents)s::uuid[]))
    AND (%(passed)s::boolean IS NULL OR passed = %(passed)s)
    AND number < %(before)s
ORDER BY number DESC
LIMIT %(limit)s
