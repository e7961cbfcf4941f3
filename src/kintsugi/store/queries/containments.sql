-- name: add
INSERT INTO kintsugi.containments (id, created_at, expires_at, record)
VALUES (%s, %s, %s, %s)
ON CONFLICT DO NOTHING

-- name: one
SELECT record FROM kintsugi.containments WHERE id = %s

-- name: lock
SELECT record FROM kintsugi.containments WHERE id = %s FOR UPDATE

-- name: page
SELECT record
FROM kintsugi.containments
WHERE (
        %(in_force)s::boolean IS NULL
        OR (released_at IS NULL AND expires_at > %(now)s) = %(in_force)s
    )
    AND (
        %(before_at)s::timestamptz IS NULL
        OR (created_at, id) < (%(before_at)s::timestamptz, %(before_id)s::uuid)
    )
ORDER BY created_at DESC, id DESC
LIMIT %(limit)s

-- name: count
SELECT count(*)
FROM kintsugi.containments
WHERE %(in_force)s::boolean IS NULL
    OR (released_at IS NULL AND expires_at > %(now)s) = %(in_force)s

-- name: in_force
SELECT record
FROM kintsugi.containments
WHERE released_at IS NULL AND expires_at > %s
ORDER BY created_at, id
LIMIT %s

-- name: release
UPDATE kintsugi.containments SET released_at = %s, record = %s WHERE id = %s

-- name: announce
-- Delivered when the transaction commits, not before.
SELECT pg_notify('kt_oversight', '')
