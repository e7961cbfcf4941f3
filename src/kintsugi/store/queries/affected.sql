-- Who and what incidents affected.

-- name: add
INSERT INTO kintsugi.incident_affected (incident_id, kind, key, status, record)
SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[])
ON CONFLICT DO NOTHING

-- name: page
SELECT record
FROM kintsugi.incident_affected
WHERE incident_id = %(incident)s
    AND kind = ANY(%(kinds)s::text[])
    AND (%(status)s::text = '' OR status = %(status)s)
    AND (
        %(after_kind)s::text IS NULL
        OR (kind, key) > (%(after_kind)s::text, %(after_key)s::text)
    )
ORDER BY kind, key
LIMIT %(limit)s

-- name: counts
SELECT kind, status, count(*)
FROM kintsugi.incident_affected
WHERE incident_id = %s
GROUP BY kind, status

-- name: lock
SELECT key, record
FROM kintsugi.incident_affected
WHERE incident_id = %s AND kind = %s AND key = ANY(%s::text[])
ORDER BY key
FOR UPDATE

-- name: settle
UPDATE kintsugi.incident_affected AS a
SET status = wanted.status, record = wanted.record
FROM unnest(%s::text[], %s::text[], %s::text[]) AS wanted (key, status, record)
WHERE a.incident_id = %s AND a.kind = %s AND a.key = wanted.key
