-- Targets and deliveries. A target is worked on by whoever holds its lease.

-- name: lock_targets
-- Two people may give the same name at the same time.
SELECT pg_advisory_xact_lock(hashtext('kintsugi.notify_targets'))

-- name: count_targets
SELECT count(*), coalesce(sum((name = %s)::integer), 0) FROM kintsugi.notify_targets

-- name: named
SELECT 1 FROM kintsugi.notify_targets WHERE name = %s AND id <> %s

-- name: add_target
INSERT INTO kintsugi.notify_targets (id, name, enabled, ready_at, record, sealed)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING

-- name: target
SELECT record, sealed FROM kintsugi.notify_targets
WHERE id = %(id)s::uuid OR name = %(name)s
ORDER BY (id = %(id)s::uuid) DESC NULLS LAST
LIMIT 1

-- name: lock_target
SELECT record, sealed FROM kintsugi.notify_targets
WHERE id = %(id)s::uuid OR name = %(name)s
ORDER BY (id = %(id)s::uuid) DESC NULLS LAST
LIMIT 1
FOR UPDATE

-- name: targets
SELECT record FROM kintsugi.notify_targets ORDER BY name LIMIT %s

-- name: save_target
UPDATE kintsugi.notify_targets
SET name = %s, enabled = %s, record = %s, sealed = %s, ready_at = least(ready_at, %s)
WHERE id = %s

-- name: remove_target
DELETE FROM kintsugi.notify_targets WHERE id = %s

-- name: remove_deliveries
DELETE FROM kintsugi.notify_deliveries WHERE target_id = %s

-- name: waiting_notices
-- Those that another process hands out at this moment are passed over.
SELECT id, record FROM kintsugi.notices
WHERE waiting
ORDER BY at, id
LIMIT %s
FOR UPDATE SKIP LOCKED

-- name: handed_out
UPDATE kintsugi.notices SET waiting = false WHERE id = ANY(%s::uuid[])

-- name: add_deliveries
INSERT INTO kintsugi.notify_deliveries
    (id, target_id, notice_id, state, due_at, created_at, record)
SELECT id, target_id, notice_id, 'waiting', due_at, due_at, '{}'
FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::timestamptz[])
    AS new (id, target_id, notice_id, due_at)
ON CONFLICT (target_id, notice_id) DO NOTHING

-- name: claimable
SELECT t.id, t.record, t.sealed
FROM kintsugi.notify_targets AS t
WHERE t.enabled AND t.ready_at <= %(now)s
    AND (t.lease_until IS NULL OR t.lease_until <= %(now)s)
    AND EXISTS (
        SELECT FROM kintsugi.notify_deliveries AS d
        WHERE d.target_id = t.id AND d.state = 'waiting' AND d.due_at <= %(now)s
    )
ORDER BY t.ready_at, t.id
LIMIT 1
FOR UPDATE OF t SKIP LOCKED

-- name: lease
UPDATE kintsugi.notify_targets SET lease_by = %s, lease_until = %s WHERE id = %s

-- name: due
SELECT d.id::text, d.target_id::text, n.record, d.state, d.due_at, d.record, d.created_at
FROM kintsugi.notify_deliveries AS d JOIN kintsugi.notices AS n ON n.id = d.notice_id
WHERE d.target_id = %s AND d.state = 'waiting' AND d.due_at <= %s
ORDER BY d.notice_id
LIMIT %s

-- name: lock_lease
SELECT record, sealed FROM kintsugi.notify_targets WHERE id = %s AND lease_by = %s FOR UPDATE

-- name: settle_target
UPDATE kintsugi.notify_targets
SET
    enabled = %s, record = %s, ready_at = %s,
    lease_by = CASE WHEN %s THEN '' ELSE lease_by END,
    lease_until = CASE WHEN %s THEN NULL ELSE lease_until END
WHERE id = %s

-- name: save_delivery
UPDATE kintsugi.notify_deliveries
SET state = %s, due_at = %s, finished_at = %s, record = %s
WHERE id = %s AND target_id = %s

-- name: delivery
SELECT d.id::text, d.target_id::text, n.record, d.state, d.due_at, d.record, d.created_at
FROM kintsugi.notify_deliveries AS d JOIN kintsugi.notices AS n ON n.id = d.notice_id
WHERE d.target_id = %s AND d.id = %s
FOR UPDATE OF d

-- name: page
SELECT d.id::text, d.target_id::text, n.record, d.state, d.due_at, d.record, d.created_at
FROM kintsugi.notify_deliveries AS d JOIN kintsugi.notices AS n ON n.id = d.notice_id
WHERE d.target_id = %(target)s
    AND (%(state)s::text IS NULL OR d.state = %(state)s)
    AND (
        %(before_at)s::timestamptz IS NULL
        OR (d.created_at, d.id) < (%(before_at)s, %(before_id)s::uuid)
    )
ORDER BY d.created_at DESC, d.id DESC
LIMIT %(limit)s

-- name: count
SELECT count(*)
FROM (
    SELECT FROM kintsugi.notify_deliveries WHERE target_id = %s AND state = %s LIMIT %s
) AS counted

-- name: failed_since
SELECT d.id::text, d.target_id::text, n.record, d.state, d.due_at, d.record, d.created_at
FROM kintsugi.notify_deliveries AS d JOIN kintsugi.notices AS n ON n.id = d.notice_id
WHERE d.target_id = %s AND d.state = 'failed' AND d.created_at >= %s
ORDER BY d.created_at, d.id
LIMIT %s
FOR UPDATE OF d

-- name: never_handed
SELECT n.id::text, n.record
FROM kintsugi.notices AS n
WHERE n.at >= %(since)s AND NOT n.waiting
    AND NOT EXISTS (
        SELECT FROM kintsugi.notify_deliveries AS d
        WHERE d.target_id = %(target)s AND d.notice_id = n.id
    )
ORDER BY n.at, n.id
LIMIT %(limit)s

-- name: wake_target
UPDATE kintsugi.notify_targets SET ready_at = least(ready_at, %s) WHERE id = %s

-- name: forget
DELETE FROM kintsugi.notify_deliveries
WHERE id IN (
    SELECT id FROM kintsugi.notify_deliveries
    WHERE finished_at < %s ORDER BY finished_at LIMIT %s
)

-- name: announce
SELECT pg_notify('kt_notices', '')
