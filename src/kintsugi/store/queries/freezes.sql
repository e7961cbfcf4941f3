-- Evidence freezes, their events, and the work on them.

-- name: lock_incident
-- Two who ask for the same freeze at once get the same one.
SELECT 1 FROM kintsugi.incidents WHERE id = %s FOR UPDATE

-- name: add
INSERT INTO kintsugi.freezes (id, incident_id, asked_at, state, attempt, progress_at, record)
VALUES (%s, %s, %s, %s, %s, %s, %s)

-- name: get
SELECT record FROM kintsugi.freezes WHERE id = %s

-- name: lock
SELECT record FROM kintsugi.freezes WHERE id = %s FOR UPDATE

-- name: of
SELECT record
FROM kintsugi.freezes
WHERE incident_id = %s
ORDER BY asked_at DESC, id DESC
LIMIT %s

-- name: claimable
-- The oldest task that nobody works on. Rows that another worker is about to claim are passed over.
SELECT record
FROM kintsugi.freezes
WHERE state = 'queued' OR (state = 'running' AND progress_at < %s)
ORDER BY asked_at, id
FOR UPDATE SKIP LOCKED
LIMIT 1

-- name: update
UPDATE kintsugi.freezes
SET state = %s, attempt = %s, progress_at = %s, record = %s
WHERE id = %s

-- name: pin
INSERT INTO kintsugi.freeze_events (freeze_id, position, event_id)
SELECT %s, wanted.position, wanted.id
FROM unnest(%s::bigint[], %s::uuid[]) AS wanted (position, id)
ON CONFLICT DO NOTHING

-- name: tie
INSERT INTO kintsugi.incident_events (incident_id, event_id, tied_at)
SELECT %s, wanted, %s FROM unnest(%s::uuid[]) AS wanted
ON CONFLICT DO NOTHING

-- name: pinned
SELECT position, event_id::text
FROM kintsugi.freeze_events
WHERE freeze_id = %s AND position > %s
ORDER BY position
LIMIT %s

-- name: announce
SELECT pg_notify('kt_incidents', '')
