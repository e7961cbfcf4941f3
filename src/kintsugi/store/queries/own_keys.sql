-- Data keys that seal one thing.

-- name: add
INSERT INTO kintsugi.data_keys (id, subject, current, key_id, wrapped, created_at)
VALUES (%s, %s, false, %s, %s, %s)
ON CONFLICT DO NOTHING

-- name: get
SELECT key_id, wrapped FROM kintsugi.data_keys WHERE id = %s AND wrapped IS NOT NULL

-- name: remove
DELETE FROM kintsugi.data_keys WHERE id = %s
