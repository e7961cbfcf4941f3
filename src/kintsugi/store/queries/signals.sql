-- Signals. Of one key at most one is not resolved.

-- name: newest_of_key
SELECT
    id::text, at, kind, severity, summary, subject, key, detail, seen_at, acknowledged_at,
    acknowledged_by, note, resolved_at, resolved_by, resolution
FROM kintsugi.signals
WHERE key = %s
ORDER BY at DESC, id DESC
LIMIT 1
FOR UPDATE

-- name: lock_key
-- One at a time for each key; the lock ends with the transaction.
SELECT pg_advisory_xact_lock(hashtextextended('kintsugi.signals ' || %s, 0))

-- name: add
INSERT INTO kintsugi.signals
    (id, at, kind, severity, summary, subject, key, detail, seen_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)

-- name: save
UPDATE kintsugi.signals
SET
    severity = %s, summary = %s, detail = %s, seen_at = %s, acknowledged_at = %s,
    acknowledged_by = %s, note = %s, resolved_at = %s, resolved_by = %s, resolution = %s
WHERE id = %s

-- name: get
SELECT
    id::text, at, kind, severity, summary, subject, key, detail, seen_at, acknowledged_at,
    acknowledged_by, note, resolved_at, resolved_by, resolution
FROM kintsugi.signals
WHERE id = %s
FOR UPDATE

-- name: page
SELECT
    id::text, at, kind, severity, summary, subject, key, detail, seen_at, acknowledged_at,
    acknowledged_by, note, resolved_at, resolved_by, resolution
FROM kintsugi.signals
WHERE
    (
        %(status)s::text IS NULL
        OR (%(status)s = 'unresolved' AND resolved_at IS NULL)
        OR (%(status)s = 'open' AND resolved_at IS NULL AND acknowledged_at IS NULL)
        OR (%(status)s = 'acknowledged' AND resolved_at IS NULL AND acknowledged_at IS NOT NULL)
        OR (%(status)s = 'resolved' AND resolved_at IS NOT NULL)
    )
    AND (%(kind)s::text = '' OR kind = %(kind)s)
    AND (%(before_at)s::timestamptz IS NULL OR (at, id) < (%(before_at)s, %(before_id)s::uuid))
ORDER BY at DESC, id DESC
LIMIT %(limit)s

-- name: count_unresolved
SELECT count(*) FROM kintsugi.signals WHERE resolved_at IS NULL

-- name: announce
SELECT pg_notify('kt_signals', '')
