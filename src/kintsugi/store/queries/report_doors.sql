-- Sources and links.

-- name: lock_sources
SELECT pg_advisory_xact_lock(hashtext('kintsugi.report_sources'))

-- name: source
SELECT record FROM kintsugi.report_sources WHERE name = %s

-- name: sources
SELECT record FROM kintsugi.report_sources ORDER BY name LIMIT 1000

-- name: keep_source
INSERT INTO kintsugi.report_sources (name, version, record) VALUES (%s, %s, %s)
ON CONFLICT (name) DO UPDATE SET version = excluded.version, record = excluded.record

-- name: add_link
INSERT INTO kintsugi.report_links (id, created_at, record) VALUES (%s, %s, %s)

-- name: link
SELECT record, used FROM kintsugi.report_links WHERE id = %s

-- name: lock_link
SELECT record, used FROM kintsugi.report_links WHERE id = %s FOR UPDATE

-- name: links
SELECT record, used
FROM kintsugi.report_links
WHERE %(before_at)s::timestamptz IS NULL
    OR (created_at, id) < (%(before_at)s::timestamptz, %(before_id)s)
ORDER BY created_at DESC, id DESC
LIMIT %(limit)s

-- name: save_link
UPDATE kintsugi.report_links SET record = %s WHERE id = %s

-- name: use_link
UPDATE kintsugi.report_links
SET hour = %(hour)s,
    used_this_hour = CASE WHEN hour = %(hour)s THEN used_this_hour + 1 ELSE 1 END,
    used = used + 1
WHERE id = %(id)s AND (hour IS DISTINCT FROM %(hour)s OR used_this_hour < %(most)s)
