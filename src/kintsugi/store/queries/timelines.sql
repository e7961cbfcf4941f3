-- Entries of incidents' timelines, written by the system.

-- name: add
INSERT INTO kintsugi.incident_entries
    (id, incident_id, at, recorded_at, kind, about, source, record)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (incident_id, source) WHERE source IS NOT NULL DO NOTHING

-- name: incident
SELECT record FROM kintsugi.incidents WHERE id = %s

-- name: announce
SELECT pg_notify('kt_incidents', '')

-- name: to_be_told
-- Those that are open, the newest first, and those that are named.
(
    SELECT record FROM kintsugi.incidents WHERE id = ANY(%s::uuid[]) OR number = ANY(%s::integer[])
)
UNION
(
    SELECT record FROM kintsugi.incidents WHERE NOT ended ORDER BY reported_at DESC, id DESC LIMIT %s
)

-- name: told_before
SELECT record
FROM kintsugi.notices
WHERE type = ANY(%s::text[]) AND at >= %s AND at <= %s
ORDER BY at DESC, id DESC
LIMIT %s
