-- Escalations and quarantines. Both are lists of pages, newest first.

-- name: raise
INSERT INTO kintsugi.escalations
    (id, created_at, expires_at, status, report, reason, tier, due_at, asker)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING

-- name: tier
SELECT record FROM kintsugi.workflows WHERE name = %s

-- name: count_open
-- Of one requester, and in all; no further than the bounds.
SELECT
    (
        SELECT count(*) FROM (
            SELECT FROM kintsugi.escalations
            WHERE asker = %(asker)s AND status IN ('pending', 'claimed') AND expires_at > %(now)s
            LIMIT %(of_one)s
        ) AS own
    ),
    (
        SELECT count(*) FROM (
            SELECT FROM kintsugi.escalations
            WHERE status IN ('pending', 'claimed') AND expires_at > %(now)s
            LIMIT %(in_all)s
        ) AS every
    )

-- name: over
SELECT report, status, claimed_by, claimed_at, resolved_by, resolved_at, reason, used_at, used_by,
    tier, due_at, classification, incident_id
FROM kintsugi.escalations
WHERE status IN ('pending', 'claimed') AND expires_at <= %s
ORDER BY expires_at, id
LIMIT %s
FOR UPDATE SKIP LOCKED

-- name: escalation
SELECT report, status, claimed_by, claimed_at, resolved_by, resolved_at, reason, used_at, used_by,
    tier, due_at, classification, incident_id
FROM kintsugi.escalations
WHERE id = %s

-- name: lock_escalation
SELECT report, status, claimed_by, claimed_at, resolved_by, resolved_at, reason, used_at, used_by,
    tier, due_at, classification, incident_id
FROM kintsugi.escalations
WHERE id = %s
FOR UPDATE

-- name: page
-- "now" tells which of the open ones have expired, "claims_from" which claims have.
SELECT report, status, claimed_by, claimed_at, resolved_by, resolved_at, reason, used_at, used_by,
    tier, due_at, classification, incident_id
FROM kintsugi.escalations
WHERE
    (
        %(status)s::text IS NULL
        OR (
            %(status)s = 'pending' AND expires_at > %(now)s
            AND (status = 'pending' OR (status = 'claimed' AND claimed_at <= %(claims_from)s))
        )
        OR (
            %(status)s = 'claimed' AND status = 'claimed' AND expires_at > %(now)s
            AND claimed_at > %(claims_from)s
        )
        OR (%(status)s = 'open' AND status IN ('pending', 'claimed') AND expires_at > %(now)s)
        OR (%(status)s IN ('approved', 'rejected') AND status = %(status)s)
        OR (%(status)s = 'resolved' AND status IN ('approved', 'rejected'))
        OR (
            %(status)s = 'expired'
            AND (
                status = 'expired'
                OR (status IN ('pending', 'claimed') AND expires_at <= %(now)s)
            )
        )
    )
    AND (
        %(before_at)s::timestamptz IS NULL
        OR (created_at, id) < (%(before_at)s, %(before_id)s::uuid)
    )
ORDER BY created_at DESC, id DESC
LIMIT %(limit)s

-- name: count
SELECT count(*)
FROM kintsugi.escalations
WHERE
    %(status)s::text IS NULL
    OR (
        %(status)s = 'pending' AND expires_at > %(now)s
        AND (status = 'pending' OR (status = 'claimed' AND claimed_at <= %(claims_from)s))
    )
    OR (
        %(status)s = 'claimed' AND status = 'claimed' AND expires_at > %(now)s
        AND claimed_at > %(claims_from)s
    )
    OR (%(status)s = 'open' AND status IN ('pending', 'claimed') AND expires_at > %(now)s)
    OR (%(status)s IN ('approved', 'rejected') AND status = %(status)s)
    OR (%(status)s = 'resolved' AND status IN ('approved', 'rejected'))
    OR (
        %(status)s = 'expired'
        AND (
            status = 'expired'
            OR (status IN ('pending', 'claimed') AND expires_at <= %(now)s)
        )
    )

-- name: save
UPDATE kintsugi.escalations
SET
    status = %s, claimed_by = %s, claimed_at = %s, resolved_by = %s, resolved_at = %s,
    reason = %s, used_at = %s, used_by = %s, classification = %s, incident_id = %s
WHERE id = %s

-- name: usable
SELECT report, status, claimed_by, claimed_at, resolved_by, resolved_at, reason, used_at, used_by,
    tier, due_at, classification, incident_id
FROM kintsugi.escalations
WHERE resolved_at IS NOT NULL AND used_at IS NULL AND expires_at > %s
ORDER BY resolved_at DESC, id
LIMIT %s

-- name: quarantine
INSERT INTO kintsugi.quarantines (id, created_at, record)
VALUES (%s, %s, %s)
ON CONFLICT DO NOTHING

-- name: quarantines
SELECT record, released_at, released_by, release_reason
FROM kintsugi.quarantines
WHERE
    (%(in_force)s::boolean IS NULL OR (released_at IS NULL) = %(in_force)s)
    AND (
        %(before_at)s::timestamptz IS NULL
        OR (created_at, id) < (%(before_at)s, %(before_id)s::uuid)
    )
ORDER BY created_at DESC, id DESC
LIMIT %(limit)s

-- name: count_quarantines
SELECT count(*)
FROM kintsugi.quarantines
WHERE %(in_force)s::boolean IS NULL OR (released_at IS NULL) = %(in_force)s

-- name: get_quarantine
SELECT record, released_at, released_by, release_reason
FROM kintsugi.quarantines
WHERE id = %s

-- name: release
-- The first time counts.
UPDATE kintsugi.quarantines
SET released_at = %s, released_by = %s, release_reason = %s
WHERE id = %s AND released_at IS NULL

-- name: released_since
SELECT id::text FROM kintsugi.quarantines WHERE released_at >= %s ORDER BY released_at, id

-- name: announce
-- Delivered when the transaction commits, not before.
SELECT pg_notify('kt_oversight', '')
