-- name: add
INSERT INTO kintsugi.tokens
    (id, secret_sha256, name, scopes, created_at, expires_at, revoked_at, last_used_at, roles,
        user_id, owner)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING

-- name: find
SELECT id, name, scopes, created_at, expires_at, revoked_at, last_used_at, roles, user_id::text, owner
FROM kintsugi.tokens
WHERE secret_sha256 = %s

-- name: list
SELECT id, name, scopes, created_at, expires_at, revoked_at, last_used_at, roles, user_id::text, owner
FROM kintsugi.tokens
ORDER BY created_at DESC, id DESC

-- name: revoke
-- The first time counts.
UPDATE kintsugi.tokens
SET revoked_at = coalesce(revoked_at, %s)
WHERE id = %s
RETURNING id, name, scopes, created_at, expires_at, revoked_at, last_used_at, roles, user_id::text, owner

-- name: expire
UPDATE kintsugi.tokens
SET expires_at = least(expires_at, %s)
WHERE id = %s
RETURNING id, name, scopes, created_at, expires_at, revoked_at, last_used_at, roles, user_id::text, owner

-- name: touch
UPDATE kintsugi.tokens SET last_used_at = %s WHERE id = %s
