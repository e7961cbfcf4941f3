-- name: find
SELECT request_sha256, status, body
FROM kintsugi.idempotent_answers
WHERE token_id = %s AND key = %s AND saved_at > %s

-- name: save
-- The first answer stays, until it is too old to count.
INSERT INTO kintsugi.idempotent_answers AS kept
    (token_id, key, request_sha256, status, body, saved_at)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (token_id, key) DO UPDATE SET
    request_sha256 = excluded.request_sha256,
    status = excluded.status,
    body = excluded.body,
    saved_at = excluded.saved_at
WHERE kept.saved_at <= %s

-- name: forget
DELETE FROM kintsugi.idempotent_answers WHERE saved_at <= %s
