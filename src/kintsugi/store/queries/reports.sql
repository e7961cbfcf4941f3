-- Reports, and how often the same came.

-- name: lock_fingerprint
-- The same thing may come twice at once.
SELECT pg_advisory_xact_lock(hashtext('kintsugi.report ' || %s))

-- name: newest_incident
-- The newest incident that this came to, or the one that it was merged into.
WITH RECURSIVE followed AS (
    (
        SELECT i.id, i.merged_into, i.ended, 0 AS depth
        FROM kintsugi.report_recurrences AS r
        JOIN kintsugi.incidents AS i ON i.id = r.incident_id
        WHERE r.fingerprint = %s
        ORDER BY r.incident_id DESC
        LIMIT 1
    )
    UNION ALL
    SELECT i.id, i.merged_into, i.ended, f.depth + 1
    FROM followed AS f
    JOIN kintsugi.incidents AS i ON i.id = f.merged_into
    WHERE f.depth < 20
)
SELECT id::text FROM followed WHERE NOT ended ORDER BY depth DESC LIMIT 1

-- name: lock_incidents
SELECT id FROM kintsugi.incidents WHERE id = ANY(%s::uuid[]) ORDER BY id FOR UPDATE

-- name: recurrence
SELECT incident_id::text, fingerprint, reports, resolved, first_at, last_at, firing
FROM kintsugi.report_recurrences
WHERE fingerprint = %s AND incident_id = %s

-- name: recurrences
SELECT incident_id::text, fingerprint, reports, resolved, first_at, last_at, firing
FROM kintsugi.report_recurrences
WHERE incident_id = %s
ORDER BY last_at DESC, fingerprint
LIMIT 100

-- name: keep_recurrence
INSERT INTO kintsugi.report_recurrences
    (incident_id, fingerprint, reports, resolved, first_at, last_at, firing)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (fingerprint, incident_id) DO UPDATE
SET reports = excluded.reports, resolved = excluded.resolved, last_at = excluded.last_at,
    firing = excluded.firing

-- name: add
INSERT INTO kintsugi.reports
    (id, at, channel, sender, status, incident_id, leaf, standing, record)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)

-- name: settle
UPDATE kintsugi.reports SET status = %s, incident_id = %s, standing = %s WHERE id = %s

-- name: one
SELECT record, standing, leaf FROM kintsugi.reports WHERE id = %s

-- name: lock
SELECT record, standing, leaf FROM kintsugi.reports WHERE id = %s FOR UPDATE

-- name: page
SELECT record, standing, leaf
FROM kintsugi.reports
WHERE (%(status)s = '' OR status = %(status)s)
    AND (%(channel)s = '' OR channel = %(channel)s)
    AND (%(sender)s = '' OR sender = %(sender)s)
    AND (%(incident)s::uuid IS NULL OR incident_id = %(incident)s::uuid)
    AND (
        %(before_at)s::timestamptz IS NULL
        OR (at, id) < (%(before_at)s::timestamptz, %(before_id)s::uuid)
    )
ORDER BY at DESC, id DESC
LIMIT %(limit)s

-- name: count
SELECT count(*)
FROM (
    SELECT 1
    FROM kintsugi.reports
    WHERE (%(status)s = '' OR status = %(status)s)
        AND (%(channel)s = '' OR channel = %(channel)s)
        AND (%(sender)s = '' OR sender = %(sender)s)
        AND (%(incident)s::uuid IS NULL OR incident_id = %(incident)s::uuid)
    LIMIT %(ceiling)s
) AS counted

-- name: add_file
INSERT INTO kintsugi.report_files (report_id, digest, content, data_key, sealed)
VALUES (%s, %s, %s, %s, %s)

-- name: file
SELECT f.content, f.sealed, f.data_key, k.wrapped, k.key_id
FROM kintsugi.report_files AS f
LEFT JOIN kintsugi.data_keys AS k ON k.id = f.data_key
WHERE f.report_id = %s AND f.digest = %s

-- name: incident
SELECT record FROM kintsugi.incidents WHERE id = %s

-- name: files_of
SELECT count(*)
FROM kintsugi.report_files
WHERE report_id = %s AND (content IS NOT NULL OR sealed <> '')

-- name: erase_files
UPDATE kintsugi.report_files
SET content = NULL, sealed = ''
WHERE report_id = %s AND (content IS NOT NULL OR sealed <> '')
