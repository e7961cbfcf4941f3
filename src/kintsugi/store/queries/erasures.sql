-- Erasures: their queue, and what they do to keys, contents and full text.

-- name: add
INSERT INTO kintsugi.erasures (id, state, attempt, created_at, progress_at, destroyed_at, job)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING

-- name: get
SELECT job FROM kintsugi.erasures WHERE id = %s

-- name: page
SELECT created_at, id::text, job
FROM kintsugi.erasures
WHERE (created_at, id) < (%s, %s)
ORDER BY created_at DESC, id DESC
LIMIT %s

-- name: claimable
-- The oldest job that nobody works on. Rows that another worker is about to claim are passed over.
SELECT job
FROM kintsugi.erasures
WHERE state = 'queued' OR (state = 'running' AND progress_at < %s)
ORDER BY created_at, id
FOR UPDATE SKIP LOCKED
LIMIT 1

-- name: lock
SELECT state, attempt FROM kintsugi.erasures WHERE id = %s FOR UPDATE

-- name: update
UPDATE kintsugi.erasures
SET state = %s, attempt = %s, progress_at = %s, destroyed_at = %s, job = %s
WHERE id = %s

-- name: destroyed
SELECT job FROM kintsugi.erasures WHERE destroyed_at > %s ORDER BY destroyed_at, id

-- name: destroy
-- A subject's keys, or the one key of an exchange without user and session.
UPDATE kintsugi.data_keys
SET wrapped = NULL, current = false, erased_at = %s, erasure_id = %s
WHERE (subject = %s OR id = %s) AND wrapped IS NOT NULL
RETURNING id::text

-- name: mark
-- Stands for the erasure where content had no key: what lay open, what comes late. Its id is the
-- erasure's.
INSERT INTO kintsugi.data_keys (id, subject, current, key_id, created_at, erased_at, erasure_id)
VALUES (%s, %s, false, '', %s, %s, %s)
ON CONFLICT DO NOTHING

-- name: hold_search
-- Whoever fills the full text has finished, and sees from now on what was erased.
SELECT last_position FROM kintsugi.search_position FOR UPDATE

-- name: erase_contents
UPDATE kintsugi.event_payloads AS p
SET payload = NULL, sealed = '', data_key = coalesce(
    (SELECT id FROM kintsugi.data_keys AS k WHERE k.id = p.data_key AND k.erased_at IS NOT NULL),
    %s)
WHERE p.id = ANY(%s::uuid[]) AND (p.payload IS NOT NULL OR p.sealed <> '')

-- name: erase_texts
DELETE FROM kintsugi.event_texts WHERE id = ANY(%s::uuid[])

-- name: keys_left
SELECT count(*) FROM kintsugi.data_keys WHERE id = ANY(%s::uuid[]) AND wrapped IS NOT NULL

-- name: announce
SELECT pg_notify('kt_vault', '')
