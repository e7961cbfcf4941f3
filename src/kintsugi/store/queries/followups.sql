-- What follows from incidents: actions, communications, reviews, playbooks.

-- name: add
INSERT INTO kintsugi.followups
    (id, kind, version, status, party, settled, due_order, created_at, record)
VALUES (
    %(id)s, %(kind)s, %(version)s, %(status)s, %(party)s, %(settled)s, %(due_order)s,
    %(created_at)s, %(record)s
)
ON CONFLICT DO NOTHING

-- name: save
UPDATE kintsugi.followups
SET version = %(version)s, status = %(status)s, party = %(party)s, settled = %(settled)s,
    due_order = %(due_order)s, record = %(record)s
WHERE id = %(id)s AND version = %(before)s

-- name: untie
DELETE FROM kintsugi.followup_incidents
WHERE followup_id = %s AND incident_id <> ALL(%s::uuid[])

-- name: tie
INSERT INTO kintsugi.followup_incidents (followup_id, incident_id)
SELECT %s, wanted FROM unnest(%s::uuid[]) AS wanted
ON CONFLICT DO NOTHING

-- name: get
SELECT record FROM kintsugi.followups WHERE id = %s

-- name: page_by_due
SELECT f.record
FROM kintsugi.followups AS f
WHERE (%(kind)s::text = '' OR f.kind = %(kind)s)
    AND (%(status)s::text = '' OR f.status = %(status)s)
    AND (%(party)s::text = '' OR f.party = %(party)s)
    AND (%(settled)s::boolean IS NULL OR f.settled = %(settled)s)
    AND (%(due_before)s::timestamptz IS NULL OR f.due_order < %(due_before)s)
    AND (
        %(after_at)s::timestamptz IS NULL
        OR (f.due_order, f.id) > (%(after_at)s::timestamptz, %(after_id)s::uuid)
    )
ORDER BY f.due_order, f.id
LIMIT %(limit)s

-- name: page_by_newest
SELECT f.record
FROM kintsugi.followups AS f
WHERE (%(kind)s::text = '' OR f.kind = %(kind)s)
    AND (%(status)s::text = '' OR f.status = %(status)s)
    AND (%(party)s::text = '' OR f.party = %(party)s)
    AND (%(settled)s::boolean IS NULL OR f.settled = %(settled)s)
    AND (%(due_before)s::timestamptz IS NULL OR f.due_order < %(due_before)s)
    AND (
        %(after_at)s::timestamptz IS NULL
        OR (f.created_at, f.id) < (%(after_at)s::timestamptz, %(after_id)s::uuid)
    )
ORDER BY f.created_at DESC, f.id DESC
LIMIT %(limit)s

-- name: of_incident_by_due
-- Begins at the incident: what one incident has is little beside all that there is.
SELECT f.record
FROM kintsugi.followup_incidents AS t
JOIN kintsugi.followups AS f ON f.id = t.followup_id
WHERE t.incident_id = %(incident)s::uuid
    AND (%(kind)s::text = '' OR f.kind = %(kind)s)
    AND (%(status)s::text = '' OR f.status = %(status)s)
    AND (%(party)s::text = '' OR f.party = %(party)s)
    AND (%(settled)s::boolean IS NULL OR f.settled = %(settled)s)
    AND (%(due_before)s::timestamptz IS NULL OR f.due_order < %(due_before)s)
    AND (
        %(after_at)s::timestamptz IS NULL
        OR (f.due_order, f.id) > (%(after_at)s::timestamptz, %(after_id)s::uuid)
    )
ORDER BY f.due_order, f.id
LIMIT %(limit)s

-- name: of_incident_by_newest
SELECT f.record
FROM kintsugi.followup_incidents AS t
JOIN kintsugi.followups AS f ON f.id = t.followup_id
WHERE t.incident_id = %(incident)s::uuid
    AND (%(kind)s::text = '' OR f.kind = %(kind)s)
    AND (%(status)s::text = '' OR f.status = %(status)s)
    AND (%(party)s::text = '' OR f.party = %(party)s)
    AND (%(settled)s::boolean IS NULL OR f.settled = %(settled)s)
    AND (%(due_before)s::timestamptz IS NULL OR f.due_order < %(due_before)s)
    AND (
        %(after_at)s::timestamptz IS NULL
        OR (f.created_at, f.id) < (%(after_at)s::timestamptz, %(after_id)s::uuid)
    )
ORDER BY f.created_at DESC, f.id DESC
LIMIT %(limit)s
