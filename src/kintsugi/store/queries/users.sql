-- People, their sessions and their ways in.

-- name: add
INSERT INTO kintsugi.users (id, name, created_at, issuer, subject, active, record)
VALUES (%s, %s, %s, %s, %s, %s, %s)

-- name: get
SELECT record FROM kintsugi.users WHERE id = %(id)s::uuid OR name = %(name)s

-- name: lock
SELECT record FROM kintsugi.users WHERE id = %(id)s::uuid OR name = %(name)s FOR UPDATE

-- name: known_as
SELECT record FROM kintsugi.users WHERE issuer = %s AND subject = %s

-- name: save
UPDATE kintsugi.users
SET issuer = %s, subject = %s, active = %s, record = %s
WHERE id = %s

-- name: page
SELECT record
FROM kintsugi.users
WHERE (%(active)s::boolean IS NULL OR active = %(active)s)
    AND (
        %(before_at)s::timestamptz IS NULL
        OR (created_at, id) < (%(before_at)s::timestamptz, %(before_id)s::uuid)
    )
ORDER BY created_at DESC, id DESC
LIMIT %(limit)s

-- name: count
SELECT count(*)
FROM (
    SELECT 1
    FROM kintsugi.users
    WHERE (%(active)s::boolean IS NULL OR active = %(active)s)
    LIMIT %(ceiling)s
) AS counted

-- name: sweep_sessions
-- A few at a time, so that no sign-in pays for many.
DELETE FROM kintsugi.sessions
WHERE id IN (
    SELECT id FROM kintsugi.sessions WHERE ends_at <= %s LIMIT 100 FOR UPDATE SKIP LOCKED
)

-- name: begin
INSERT INTO kintsugi.sessions (id, secret_sha256, user_id, created_at, last_seen_at, ends_at, record)
VALUES (%s, %s, %s, %s, %s, %s, %s)

-- name: find
SELECT record, last_seen_at FROM kintsugi.sessions WHERE secret_sha256 = %s

-- name: touch
UPDATE kintsugi.sessions SET last_seen_at = %s WHERE id = %s

-- name: end
DELETE FROM kintsugi.sessions WHERE id = %s

-- name: end_all
DELETE FROM kintsugi.sessions WHERE user_id = %s

-- name: sessions_of
SELECT record, last_seen_at
FROM kintsugi.sessions
WHERE user_id = %s
ORDER BY created_at DESC, id DESC

-- name: invite
INSERT INTO kintsugi.invitations (user_id, code_sha256, expires_at, record)
VALUES (%s, %s, %s, %s)
ON CONFLICT (user_id) DO UPDATE
SET code_sha256 = excluded.code_sha256,
    expires_at = excluded.expires_at,
    record = excluded.record

-- name: accept
DELETE FROM kintsugi.invitations WHERE code_sha256 = %s AND expires_at > %s RETURNING record

-- name: sweep_flows
DELETE FROM kintsugi.sign_ins
WHERE state_sha256 IN (
    SELECT state_sha256 FROM kintsugi.sign_ins WHERE expires_at <= %s
    LIMIT 100 FOR UPDATE SKIP LOCKED
)

-- name: send_away
INSERT INTO kintsugi.sign_ins (state_sha256, expires_at, record) VALUES (%s, %s, %s)

-- name: come_back
DELETE FROM kintsugi.sign_ins WHERE state_sha256 = %s AND expires_at > %s RETURNING record
