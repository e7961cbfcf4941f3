-- The audit log.

-- name: add
INSERT INTO kintsugi.audit (id, at, actor, operation, object, result, record)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING

-- name: page
SELECT record
FROM kintsugi.audit
WHERE (%(actor)s::text IS NULL OR actor = %(actor)s)
    AND (%(operation)s::text IS NULL OR operation = %(operation)s)
    AND (%(object)s::text IS NULL OR object = %(object)s)
    AND (%(below)s::text IS NULL OR (object >= %(below)s AND object < %(beyond)s))
    AND (%(result)s::text IS NULL OR result = %(result)s)
    AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR at <= %(until)s)
    AND (
        %(before_at)s::timestamptz IS NULL
        OR (at, id) < (%(before_at)s::timestamptz, %(before_id)s::uuid)
    )
ORDER BY at DESC, id DESC
LIMIT %(limit)s

-- name: count
SELECT count(*)
FROM (
    SELECT 1
    FROM kintsugi.audit
    WHERE (%(actor)s::text IS NULL OR actor = %(actor)s)
        AND (%(operation)s::text IS NULL OR operation = %(operation)s)
        AND (%(object)s::text IS NULL OR object = %(object)s)
        AND (%(below)s::text IS NULL OR (object >= %(below)s AND object < %(beyond)s))
        AND (%(result)s::text IS NULL OR result = %(result)s)
        AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
        AND (%(until)s::timestamptz IS NULL OR at <= %(until)s)
    LIMIT %(ceiling)s
) AS counted
