-- Keys that seal content, and what they seal. Erasures are in erasures.sql.

-- name: epoch
SELECT epoch FROM kintsugi.vault_epoch

-- name: hold_epoch
-- No key-encryption key begins before this transaction has ended.
SELECT epoch FROM kintsugi.vault_epoch FOR SHARE

-- name: lock_epoch
SELECT epoch FROM kintsugi.vault_epoch FOR UPDATE

-- name: advance_epoch
UPDATE kintsugi.vault_epoch SET epoch = epoch + 1

-- name: newest_key
SELECT id FROM kintsugi.vault_keys ORDER BY ordinal DESC LIMIT 1

-- name: key
SELECT id, source, reference, created_at, retired_at FROM kintsugi.vault_keys WHERE id = %s

-- name: keys
SELECT id, source, reference, created_at, retired_at FROM kintsugi.vault_keys
ORDER BY ordinal DESC

-- name: add_key
INSERT INTO kintsugi.vault_keys (id, source, reference, created_at) VALUES (%s, %s, %s, %s)

-- name: retire_keys
UPDATE kintsugi.vault_keys AS older SET retired_at = %s
WHERE id <> %s AND retired_at IS NULL
    AND NOT EXISTS (
        SELECT FROM kintsugi.data_keys AS kept
        WHERE kept.key_id = older.id AND kept.wrapped IS NOT NULL
    )

-- name: count_data_keys
SELECT count(*)
FROM (SELECT FROM kintsugi.data_keys WHERE key_id = %s AND wrapped IS NOT NULL LIMIT %s) AS counted

-- name: to_rewrap
SELECT id, key_id, wrapped
FROM kintsugi.data_keys
WHERE key_id = ANY(%s) AND wrapped IS NOT NULL
ORDER BY key_id, id
LIMIT %s
FOR UPDATE SKIP LOCKED

-- name: rewrap
UPDATE kintsugi.data_keys AS kept SET key_id = %s, wrapped = anew.wrapped
FROM unnest(%s::uuid[], %s::bytea[]) AS anew (id, wrapped)
WHERE kept.id = anew.id AND kept.wrapped IS NOT NULL

-- name: current_data_keys
SELECT subject, id, key_id, wrapped, not_before, erased_key
FROM kintsugi.data_keys
WHERE subject = ANY(%s) AND current

-- name: set_aside
-- Their key-encryption key is lost: what they seal stays as it is, new content gets new keys.
UPDATE kintsugi.data_keys SET current = false WHERE id = ANY(%s::uuid[])

-- name: last_erased
SELECT DISTINCT ON (subject) subject, erased_at, id
FROM kintsugi.data_keys
WHERE subject = ANY(%s) AND erased_at IS NOT NULL
ORDER BY subject, erased_at DESC

-- name: add_data_keys
-- Whoever is second takes the first one's.
INSERT INTO kintsugi.data_keys
    (id, subject, current, key_id, wrapped, created_at, not_before, erased_key)
SELECT id, subject, true, %s, wrapped, %s, not_before, erased_key
FROM unnest(%s::uuid[], %s::text[], %s::bytea[], %s::timestamptz[], %s::uuid[])
    AS new (id, subject, wrapped, not_before, erased_key)
ON CONFLICT (subject) WHERE current DO NOTHING

-- name: open_contents
-- What lies open from before there was a vault.
SELECT p.id::text, p.payload, e.timestamp, e.user_id, e.session_id
FROM kintsugi.event_payloads AS p JOIN kintsugi.events AS e ON e.id = p.id
WHERE p.payload IS NOT NULL
LIMIT %s

-- name: close_contents
UPDATE kintsugi.event_payloads AS p SET payload = NULL, data_key = new.data_key, sealed = new.sealed
FROM unnest(%s::uuid[], %s::uuid[], %s::bytea[]) AS new (id, data_key, sealed)
WHERE p.id = new.id AND p.payload IS NOT NULL

-- name: count_open
SELECT count(*)
FROM (SELECT FROM kintsugi.event_payloads WHERE payload IS NOT NULL LIMIT %s) AS counted

-- name: announce
SELECT pg_notify('kt_vault', '')
