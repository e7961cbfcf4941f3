-- name: put
INSERT INTO kintsugi.gateways (id, report, registered_at, last_seen_at, differs)
VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (id) DO UPDATE
SET
    report = excluded.report, last_seen_at = excluded.last_seen_at, differs = excluded.differs
RETURNING registered_at

-- name: lock_last
SELECT differs, report FROM kintsugi.gateways WHERE id = %s FOR UPDATE

-- name: announce
SELECT pg_notify('kt_gateways', '')

-- name: get
SELECT report, registered_at, last_seen_at, differs FROM kintsugi.gateways WHERE id = %s

-- name: list
SELECT report, registered_at, last_seen_at, differs
FROM kintsugi.gateways
ORDER BY last_seen_at DESC, id DESC
