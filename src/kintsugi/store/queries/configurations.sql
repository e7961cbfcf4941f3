-- name: newest
SELECT DISTINCT ON (id) id, version, content, revision, author, note, created_at, pack_version
FROM kintsugi.configuration_versions
ORDER BY id, version DESC

-- name: get
-- One version; the newest when none is asked for.
SELECT id, version, content, revision, author, note, created_at, pack_version
FROM kintsugi.configuration_versions
WHERE id = %s AND (version = %s OR %s)
ORDER BY version DESC
LIMIT 1

-- name: versions
SELECT id, version, content, revision, author, note, created_at, pack_version
FROM kintsugi.configuration_versions
WHERE id = %s
ORDER BY version DESC

-- name: lock
-- Writers take turns, readers do not wait: two first versions at once would both be version 1.
LOCK TABLE kintsugi.configuration_versions IN SHARE ROW EXCLUSIVE MODE

-- name: add
INSERT INTO kintsugi.configuration_versions
    (id, version, content, revision, author, note, created_at, pack_version)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)

-- name: announce
SELECT pg_notify('kt_configurations', '')
