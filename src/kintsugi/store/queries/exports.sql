-- name: add
INSERT INTO kintsugi.exports (id, state, attempt, created_at, progress_at, job)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING

-- name: get
SELECT job FROM kintsugi.exports WHERE id = %s

-- name: page
SELECT created_at, id, job
FROM kintsugi.exports
WHERE (created_at, id) < (%s, %s)
ORDER BY created_at DESC, id DESC
LIMIT %s

-- name: claimable
-- The oldest job that nobody works on. Rows that another worker is about to claim are passed over.
SELECT job
FROM kintsugi.exports
WHERE state = 'queued' OR (state = 'running' AND progress_at < %s)
ORDER BY created_at, id
FOR UPDATE SKIP LOCKED
LIMIT 1

-- name: lock
SELECT state, attempt FROM kintsugi.exports WHERE id = %s FOR UPDATE

-- name: update
UPDATE kintsugi.exports SET state = %s, attempt = %s, progress_at = %s, job = %s WHERE id = %s

-- name: announce
SELECT pg_notify('kt_exports', '')
