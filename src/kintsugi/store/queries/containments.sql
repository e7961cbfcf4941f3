-- name: add
INSERT INTO kintsugi.containments (id, created_at, expires_at, waits, record)
VALUES (%s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING

-- name: one
SELECT record FROM kintsugi.containments WHERE id = %s

-- name: lock
SELECT record FROM kintsugi.containments WHERE id = %s FOR UPDATE

-- name: page
SELECT record
FROM kintsugi.containments
WHERE (
        %(state)s::text IS NULL
        OR CASE
            WHEN released_at IS NOT NULL OR expires_at <= %(now)s THEN 'ended'
            WHEN waits THEN 'waiting'
            ELSE 'in_force'
        END = %(state)s
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
WHERE %(state)s::text IS NULL
    OR CASE
        WHEN released_at IS NOT NULL OR expires_at <= %(now)s THEN 'ended'
        WHEN waits THEN 'waiting'
        ELSE 'in_force'
    END = %(state)s

-- name: in_force
SELECT record
FROM kintsugi.containments
WHERE released_at IS NULL AND expires_at > %s AND NOT waits
ORDER BY created_at, id
LIMIT %s

-- name: expired
SELECT record
FROM kintsugi.containments
WHERE released_at IS NULL AND expires_at > %s AND expires_at <= %s AND NOT waits
ORDER BY expires_at, id
LIMIT %s

-- name: unjudged
SELECT record
FROM kintsugi.containments
WHERE owes_judgement AND coalesce(released_at, expires_at) <= %s
ORDER BY coalesce(released_at, expires_at), id
LIMIT %s

-- name: save
UPDATE kintsugi.containments
SET released_at = %s, expires_at = %s, waits = %s, owes_judgement = %s, record = %s
WHERE id = %s

-- name: announce
-- Delivered when the transaction commits, not before.
SELECT pg_notify('kt_oversight', '')
