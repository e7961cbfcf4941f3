-- name: put
INSERT INTO kintsugi.gateways AS kept (id, report, registered_at, last_seen_at)
VALUES (%s, %s, %s, %s)
ON CONFLICT (id) DO UPDATE SET report = excluded.report, last_seen_at = excluded.last_seen_at
RETURNING registered_at

-- name: announce
SELECT pg_notify('kt_gateways', '')

-- name: get
SELECT report, registered_at, last_seen_at FROM kintsugi.gateways WHERE id = %s

-- name: list
SELECT report, registered_at, last_seen_at
FROM kintsugi.gateways
ORDER BY last_seen_at DESC, id DESC
