-- Archives: their tasks, where records are, and what moves. Months are ranges of ids.

-- name: add
INSERT INTO kintsugi.archives
    (id, created_at, month, state, attempt, progress_at, in_force, record)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)

-- name: get
SELECT record FROM kintsugi.archives WHERE id = %s

-- name: page
SELECT created_at, id::text, record
FROM kintsugi.archives
WHERE (%(month)s = '' OR month = %(month)s)
    AND (created_at, id) < (%(before_at)s, %(before_id)s)
ORDER BY created_at DESC, id DESC
LIMIT %(limit)s

-- name: in_force
SELECT record FROM kintsugi.archives
WHERE in_force AND (%(month)s = '' OR month = %(month)s)
ORDER BY month, created_at, id

-- name: claimable
-- The oldest task that nobody works on. Rows that another worker is about to claim are passed over.
SELECT record
FROM kintsugi.archives
WHERE state = 'queued' OR (state = 'running' AND progress_at < %s)
ORDER BY created_at, id
FOR UPDATE SKIP LOCKED
LIMIT 1

-- name: lock
SELECT state, attempt, record FROM kintsugi.archives WHERE id = %s FOR UPDATE

-- name: save
UPDATE kintsugi.archives
SET state = %s, attempt = %s, progress_at = %s, in_force = %s, record = %s
WHERE id = %s

-- name: announce
SELECT pg_notify('kt_archives', '')

-- name: files
SELECT name, holds, rows, first_position, last_position, bytes, sha256
FROM kintsugi.archive_files
WHERE archive_id = %s
ORDER BY name

-- name: next_file
SELECT name, holds, rows, first_position, last_position, bytes, sha256
FROM kintsugi.archive_files
WHERE archive_id = %s AND name > %s
ORDER BY name
LIMIT 1

-- name: add_file
INSERT INTO kintsugi.archive_files
    (archive_id, name, holds, rows, first_position, last_position, bytes, sha256)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)

-- name: files_of
-- Which files may hold the events of these months and positions: those whose range they are in. That
-- is nearly always one; after a month was brought back and archived again, ranges may overlap.
SELECT wanted.position, a.month, a.id::text, f.name, f.sha256
FROM unnest(%s::text[], %s::bigint[]) AS wanted (month, position)
JOIN kintsugi.archives AS a ON a.in_force AND a.month = wanted.month
JOIN kintsugi.archive_files AS f
    ON f.archive_id = a.id AND f.holds = 'events'
    AND f.last_position >= wanted.position AND f.first_position <= wanted.position

-- name: hot
SELECT
    r.id, r.record,
    p.payload, p.sealed, p.data_key, k.wrapped, k.key_id, k.erased_at, k.erasure_id, k.expired_under
FROM kintsugi.event_records AS r
LEFT JOIN kintsugi.event_payloads AS p ON p.id = r.id
LEFT JOIN kintsugi.data_keys AS k ON k.id = p.data_key
WHERE r.id = ANY(%s::uuid[])

-- name: data_keys
SELECT id, wrapped, key_id, erased_at, erasure_id, expired_under
FROM kintsugi.data_keys
WHERE id = ANY(%s::uuid[])

-- name: months_between
SELECT DISTINCT month
FROM kintsugi.archives
WHERE in_force
    AND (%s::timestamptz IS NULL OR (month || '-01 00:00Z')::timestamptz + interval '1 month' > %s)
    AND (%s::timestamptz IS NULL OR (month || '-01 00:00Z')::timestamptz <= %s)
ORDER BY month

-- name: month_sizes
-- From the catalogue and its statistics: no row is read.
SELECT
    replace(right(c.relname, 7), '_', '-'),
    greatest(c.reltuples, 0)::bigint,
    (
        SELECT coalesce(sum(pg_total_relation_size(to_regclass(
            'kintsugi.' || part || right(c.relname, 8)))), 0)::bigint
        FROM unnest(ARRAY['event_records', 'event_payloads', 'evaluations', 'event_texts']) AS part
    ),
    pg_total_relation_size(to_regclass('kintsugi.events' || right(c.relname, 8)))
FROM pg_inherits AS i
JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = 'kintsugi.event_records'::regclass
ORDER BY c.relname

-- name: count_hot
-- Records of a month up to a position; how many of its contents lie open.
SELECT count(*), count(p.payload)
FROM kintsugi.events AS e
JOIN kintsugi.event_records AS r ON r.id = e.id
LEFT JOIN kintsugi.event_payloads AS p ON p.id = e.id
WHERE e.id >= kintsugi.first_id(%(first)s) AND e.id < kintsugi.first_id(%(end)s)
    AND r.id >= kintsugi.first_id(%(first)s) AND r.id < kintsugi.first_id(%(end)s)
    AND e.position <= %(until)s

-- name: count_known
SELECT count(*)
FROM kintsugi.events AS e
WHERE e.id >= kintsugi.first_id(%(first)s) AND e.id < kintsugi.first_id(%(end)s)
    AND e.position <= %(until)s

-- name: has_hot
-- Counted no further than this, where there are no statistics yet.
SELECT count(*)
FROM (
    SELECT FROM kintsugi.event_records
    WHERE id >= kintsugi.first_id(%(first)s) AND id < kintsugi.first_id(%(end)s)
    LIMIT %(ceiling)s
) AS counted

-- name: batches
-- The batches of the log that these positions belong to, with the hash of each record.
SELECT b.first_event, b.last_event, b.leaf, b.hashes, l.data
FROM kintsugi.log_batches AS b
JOIN kintsugi.log_leaves AS l ON l.position = b.leaf
WHERE b.last_event BETWEEN %(first)s AND (
    SELECT last_event FROM kintsugi.log_batches
    WHERE last_event >= %(last)s ORDER BY last_event LIMIT 1
)
ORDER BY b.last_event

-- name: leaf_at
-- The leaf of the batch that a position is in.
SELECT leaf FROM kintsugi.log_batches WHERE last_event >= %s ORDER BY last_event LIMIT 1

-- name: bounds
SELECT min(first_position), max(last_position), count(*) FILTER (WHERE holds = 'events')
FROM kintsugi.archive_files WHERE archive_id = %s

-- name: late_records
SELECT e.id
FROM kintsugi.events AS e JOIN kintsugi.event_records AS r ON r.id = e.id
WHERE e.id >= kintsugi.first_id(%(first)s) AND e.id < kintsugi.first_id(%(end)s)
    AND e.position > %(until)s

-- name: add_records
INSERT INTO kintsugi.event_records (id, record)
SELECT * FROM unnest(%s::uuid[], %s::text[])
ON CONFLICT DO NOTHING

-- name: add_payloads
-- What was erased since then stays erased.
INSERT INTO kintsugi.event_payloads (id, data_key, sealed)
SELECT new.id, new.data_key, CASE WHEN k.erased_at IS NULL THEN new.sealed ELSE '' END
FROM unnest(%s::uuid[], %s::uuid[], %s::bytea[]) AS new (id, data_key, sealed)
LEFT JOIN kintsugi.data_keys AS k ON k.id = new.data_key
ON CONFLICT DO NOTHING

-- name: add_texts
INSERT INTO kintsugi.event_texts (id, timestamp, document)
SELECT id, timestamp, document::tsvector
FROM unnest(%s::uuid[], %s::timestamptz[], %s::text[]) AS new (id, timestamp, document)
ON CONFLICT DO NOTHING

-- name: expired
-- Archives of months whose records have expired, and whose files are still to be removed.
SELECT record
FROM kintsugi.archives
WHERE NOT in_force AND position('"expired_at":' IN record) > 0
    AND position('"removed_at":' IN record) = 0
ORDER BY created_at
LIMIT 20
