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

-- name: beside_the_log
SELECT
    coalesce(leaf.id, p.record::jsonb ->> 'id') AS id,
    CASE
        WHEN leaf.id IS NULL THEN 'has no leaf in the log'
        WHEN p.number IS NULL THEN 'was removed: the log tells of it'
        ELSE 'was changed'
    END AS finding
FROM kintsugi.proofs AS p
FULL OUTER JOIN (
    SELECT data::jsonb ->> 'id' AS id, data::jsonb ->> 'record_digest' AS digest
    FROM kintsugi.log_leaves
    WHERE kind = 'proof'
) AS leaf ON substr(leaf.id, 5)::integer = p.number
WHERE leaf.digest IS DISTINCT FROM
    'sha256:' || encode(sha256(convert_to(p.record, 'UTF8')), 'hex')
ORDER BY p.number NULLS LAST, leaf.id
LIMIT %s
