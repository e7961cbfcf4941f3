-- The regression ledger.

-- name: hold
-- Who adds to it takes turns, and nobody publishes meanwhile; readers do not wait.
LOCK TABLE kintsugi.regression_ledger IN SHARE ROW EXCLUSIVE MODE

-- name: hold_still
-- Nobody adds to it until this transaction ends.
LOCK TABLE kintsugi.regression_ledger IN SHARE MODE

-- name: mark
SELECT coalesce(max(position), 0) FROM kintsugi.regression_ledger

-- name: add
INSERT INTO kintsugi.regression_ledger
    (position, id, act, regression_id, incident_id, config_id, gateways, record)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)

-- name: known
SELECT id::text FROM kintsugi.regression_ledger WHERE id = ANY(%s::uuid[])

-- name: published
SELECT id, max(version) FROM kintsugi.configuration_versions WHERE id = ANY(%s::text[]) GROUP BY id

-- name: page
SELECT position, record
FROM kintsugi.regression_ledger
WHERE (%(any_incident)s OR incident_id = ANY(%(incidents)s::uuid[]))
    AND (%(config_id)s::text = '' OR config_id = %(config_id)s)
    AND (%(regression)s::text = '' OR regression_id = %(regression)s)
    AND position < %(before)s
ORDER BY position DESC
LIMIT %(limit)s

-- name: bound
SELECT e.record
FROM kintsugi.regression_ledger AS e
WHERE e.act IN ('bound', 'strengthened')
    AND (
        %(all)s
        OR e.config_id = %(config_id)s
        OR e.gateways && %(gateways)s::text[]
        OR e.incident_id = ANY(%(incidents)s::uuid[])
    )
    AND NOT EXISTS (
        SELECT
        FROM kintsugi.regression_ledger AS later
        WHERE later.regression_id = e.regression_id AND later.position > e.position
    )
ORDER BY e.regression_id

-- name: standing
SELECT DISTINCT ON (regression_id) record
FROM kintsugi.regression_ledger
WHERE regression_id = ANY(%s::text[])
ORDER BY regression_id, position DESC

-- name: after
SELECT record FROM kintsugi.regression_ledger WHERE position > %s ORDER BY position LIMIT %s

-- name: beside_the_log
SELECT e.record, leaf.id, leaf.data
FROM kintsugi.regression_ledger AS e
FULL OUTER JOIN (
    SELECT data::jsonb ->> 'id' AS id, data
    FROM kintsugi.log_leaves
    WHERE kind = 'regression_ledger'
) AS leaf ON leaf.id = e.id::text
ORDER BY e.position NULLS LAST, leaf.id

-- name: lock_cases
-- Their versions cannot change until this transaction ends.
SELECT r.number, r.state, v.digest
FROM kintsugi.regressions AS r
JOIN kintsugi.regression_versions AS v ON v.number = r.number AND v.version = r.version
WHERE r.number = ANY(%s::integer[])
ORDER BY r.number
FOR SHARE OF r
