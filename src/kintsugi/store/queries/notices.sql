-- Notices. What is "waiting" has not been handed to anybody's deliveries yet.

-- name: add
INSERT INTO kintsugi.notices (id, at, type, record)
SELECT * FROM unnest(%s::uuid[], %s::timestamptz[], %s::text[], %s::text[])

-- name: once
INSERT INTO kintsugi.notices_once (key, at) VALUES (%s, %s) ON CONFLICT DO NOTHING

-- name: page
SELECT record
FROM kintsugi.notices
WHERE
    (%(type)s::text = '' OR type = %(type)s)
    AND (%(before_at)s::timestamptz IS NULL OR (at, id) < (%(before_at)s, %(before_id)s::uuid))
ORDER BY at DESC, id DESC
LIMIT %(limit)s

-- name: forget
-- A notice stays as long as any delivery of it does.
DELETE FROM kintsugi.notices
WHERE id IN (
    SELECT n.id FROM kintsugi.notices AS n
    WHERE n.at < %s AND NOT n.waiting
        AND NOT EXISTS (SELECT FROM kintsugi.notify_deliveries AS d WHERE d.notice_id = n.id)
    ORDER BY n.at, n.id LIMIT %s
)

-- name: forget_keys
-- Much later than the notices: what is still overdue after a year may be told again.
DELETE FROM kintsugi.notices_once
WHERE key IN (
    SELECT key FROM kintsugi.notices_once
    WHERE at < %s::timestamptz - INTERVAL '1 year' ORDER BY at LIMIT %s
)

-- name: announce
-- Delivered when the transaction commits, not before.
SELECT pg_notify('kt_notices', '')
