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
