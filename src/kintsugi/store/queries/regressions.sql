-- Regression cases and their versions.

-- name: lock_numbers
-- Ends with the transaction, so numbers have no gaps.
SELECT pg_advisory_xact_lock(hashtext('kintsugi.regressions'))

-- name: last_number
SELECT coalesce(max(number), 0) FROM kintsugi.regressions

-- name: subject_of
SELECT subject FROM kintsugi.regressions WHERE number = %s

-- name: add
INSERT INTO kintsugi.regressions
    (
        number, version, kind, state, incident_id, config_id, parent, source_id, event_id, subject,
        data_key
    )
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)

-- name: move
UPDATE kintsugi.regressions SET version = %s, state = %s, data_key = %s WHERE number = %s

-- name: add_version
INSERT INTO kintsugi.regression_versions (number, version, digest, record, content, sealed)
VALUES (%s, %s, %s, %s, %s, %s)

-- name: lock
SELECT version FROM kintsugi.regressions WHERE number = %s FOR UPDATE

-- name: get
SELECT
    r.number, r.source_id, r.event_id, r.subject, r.data_key,
    v.version, v.digest, v.record, v.content, v.sealed
FROM kintsugi.regressions AS r
JOIN kintsugi.regression_versions AS v ON v.number = r.number
WHERE r.number = %(number)s AND v.version = coalesce(%(version)s::integer, r.version)

-- name: named
SELECT
    r.number, r.source_id, r.event_id, r.subject, r.data_key,
    v.version, v.digest, v.record, v.content, v.sealed
FROM kintsugi.regressions AS r
JOIN kintsugi.regression_versions AS v ON v.number = r.number AND v.version = r.version
WHERE r.number = ANY(%s::integer[])

-- name: history
SELECT
    r.number, r.source_id, r.event_id, r.subject, r.data_key,
    v.version, v.digest, v.record, v.content, v.sealed
FROM kintsugi.regressions AS r
JOIN kintsugi.regression_versions AS v ON v.number = r.number
WHERE r.number = %s
ORDER BY v.version DESC

-- name: same
SELECT
    r.number, r.source_id, r.event_id, r.subject, r.data_key,
    v.version, v.digest, v.record, v.content, v.sealed
FROM kintsugi.regressions AS r
JOIN kintsugi.regression_versions AS v ON v.number = r.number AND v.version = r.version
WHERE r.incident_id = %(incident)s::uuid
  AND r.config_id = %(config_id)s
  AND r.state IN ('proposed', 'approved')
  AND (r.source_id = %(source)s OR r.event_id = %(source)s)
  AND v.digest = %(digest)s
ORDER BY r.number
LIMIT 1

-- name: newest_first
SELECT
    r.number, r.source_id, r.event_id, r.subject, r.data_key,
    v.version, v.digest, v.record, v.content, v.sealed
FROM kintsugi.regressions AS r
JOIN kintsugi.regression_versions AS v ON v.number = r.number AND v.version = r.version
WHERE (%(any_incident)s OR r.incident_id = %(incident)s::uuid)
  AND (%(config_id)s::text = '' OR r.config_id = %(config_id)s)
  AND (%(state)s::text = '' OR r.state = %(state)s)
  AND (%(kind)s::text = '' OR r.kind = %(kind)s)
  AND (%(parent)s::text = '' OR (r.parent <> '' AND r.parent = %(parent)s))
  AND (%(source)s::text = '' OR r.source_id = %(source)s OR r.event_id = %(source)s)
  AND r.number < %(before)s
ORDER BY r.number DESC
LIMIT %(limit)s

-- name: oldest_first
SELECT
    r.number, r.source_id, r.event_id, r.subject, r.data_key,
    v.version, v.digest, v.record, v.content, v.sealed
FROM kintsugi.regressions AS r
JOIN kintsugi.regression_versions AS v ON v.number = r.number AND v.version = r.version
WHERE (%(any_incident)s OR r.incident_id = %(incident)s::uuid)
  AND (%(config_id)s::text = '' OR r.config_id = %(config_id)s)
  AND (%(state)s::text = '' OR r.state = %(state)s)
  AND (%(kind)s::text = '' OR r.kind = %(kind)s)
  AND (%(parent)s::text = '' OR (r.parent <> '' AND r.parent = %(parent)s))
  AND (%(source)s::text = '' OR r.source_id = %(source)s OR r.event_id = %(source)s)
  AND r.number > %(after)s
ORDER BY r.number
LIMIT %(limit)s

-- name: hidden
-- Of an incident that most may not know of nothing is told.
SELECT id::text FROM kintsugi.incidents WHERE id = ANY(%s::uuid[]) AND visibility = 'hidden'

-- name: of_subject
SELECT count(*) FROM kintsugi.regressions WHERE subject = %s

-- name: lock_subject
SELECT number FROM kintsugi.regressions WHERE subject = %s ORDER BY number FOR UPDATE

-- name: forget_content
UPDATE kintsugi.regression_versions
SET content = NULL, sealed = NULL
WHERE number = %s

-- name: forget_source
UPDATE kintsugi.regressions
SET source_id = '', event_id = '', subject = NULL, data_key = NULL
WHERE number = %s
