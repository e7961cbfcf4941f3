-- name: add
INSERT INTO kintsugi.custody (id, at, actor, action, object, record)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING

-- name: page
SELECT record
FROM kintsugi.custody
WHERE (%(object)s::text IS NULL OR object = %(object)s)
    AND (%(actor)s::text IS NULL OR actor = %(actor)s)
    AND (%(action)s::text IS NULL OR action = %(action)s)
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
    FROM kintsugi.custody
    WHERE (%(object)s::text IS NULL OR object = %(object)s)
        AND (%(actor)s::text IS NULL OR actor = %(actor)s)
        AND (%(action)s::text IS NULL OR action = %(action)s)
    LIMIT %(ceiling)s
) AS counted

-- name: of
SELECT record FROM kintsugi.custody WHERE object = ANY(%s::text[]) ORDER BY at, id
