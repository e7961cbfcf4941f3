-- name: lock_names
-- Two people may place one of the same name at the same time.
SELECT pg_advisory_xact_lock(hashtext('kintsugi.holds'))

-- name: named
SELECT 1 FROM kintsugi.holds WHERE name = %s AND released_at IS NULL

-- name: count
SELECT count(*) FROM kintsugi.holds WHERE released_at IS NULL

-- name: add
INSERT INTO kintsugi.holds (id, placed_at, name, record) VALUES (%s, %s, %s, %s)
ON CONFLICT DO NOTHING

-- name: one
SELECT record FROM kintsugi.holds WHERE id = %s

-- name: lock
SELECT record FROM kintsugi.holds WHERE id = %s FOR UPDATE

-- name: list
SELECT record
FROM kintsugi.holds
WHERE %(in_force)s::boolean IS NULL OR (released_at IS NULL) = %(in_force)s
ORDER BY placed_at DESC, id DESC
LIMIT %(limit)s

-- name: release
UPDATE kintsugi.holds SET released_at = %s, record = %s WHERE id = %s
