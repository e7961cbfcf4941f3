-- Content of answers that wait for a reviewer.

-- name: needless
SELECT 1 FROM kintsugi.events WHERE id = %s
UNION ALL
SELECT 1 FROM kintsugi.escalation_contents WHERE id = %s

-- name: add
INSERT INTO kintsugi.escalation_contents (id, created_at, data_key, sealed)
VALUES (%s, %s, %s, %s)

-- name: get
SELECT data_key, sealed FROM kintsugi.escalation_contents WHERE id = %s

-- name: drop
-- With its key: nothing else is under it.
WITH gone AS (
    DELETE FROM kintsugi.escalation_contents WHERE id = %s RETURNING data_key
)
DELETE FROM kintsugi.data_keys WHERE id IN (SELECT data_key FROM gone) AND erased_at IS NULL

-- name: forget
WITH gone AS (
    DELETE FROM kintsugi.escalation_contents
    WHERE id IN (
        SELECT id FROM kintsugi.escalation_contents WHERE created_at < %s ORDER BY created_at LIMIT %s
    )
    RETURNING data_key
)
DELETE FROM kintsugi.data_keys WHERE id IN (SELECT data_key FROM gone) AND erased_at IS NULL
