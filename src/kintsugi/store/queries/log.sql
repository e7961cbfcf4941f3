-- The Merkle log. Hashing is ledger/merkle.py's.

-- name: lock_edge
-- Take one's turn: the row stays locked until the commit, so leaves stand in the order in which they
-- become visible.
SELECT size, hashes FROM kintsugi.log_edge FOR UPDATE

-- name: edge
SELECT size, hashes FROM kintsugi.log_edge

-- name: add_leaf
INSERT INTO kintsugi.log_leaves (position, recorded_at, kind, data) VALUES (%s, %s, %s, %s)

-- name: add_nodes
INSERT INTO kintsugi.log_nodes (level, position, hash)
SELECT * FROM unnest(%s::smallint[], %s::bigint[], %s::bytea[])

-- name: move_edge
UPDATE kintsugi.log_edge SET size = %s, hashes = %s

-- name: add_batch
INSERT INTO kintsugi.log_batches (last_event, first_event, leaf, hashes)
VALUES (%s, %s, %s, %s)

-- name: nodes
SELECT level, position, hash
FROM kintsugi.log_nodes
JOIN unnest(%s::smallint[], %s::bigint[]) AS wanted (level, position) USING (level, position)

-- name: witnessed
SELECT origin, size, root, keys, seen_at FROM kintsugi.log_witnessed WHERE origin = %s

-- name: all_witnessed
SELECT origin, size, root, keys, seen_at FROM kintsugi.log_witnessed
ORDER BY seen_at DESC, origin LIMIT %s

-- name: cosigned
SELECT witness, key, size, root, cosigned_at FROM kintsugi.log_cosigned
ORDER BY cosigned_at DESC, key LIMIT %s

-- name: count_cosigned
SELECT count(*) FROM kintsugi.log_cosigned WHERE key <> %s

-- name: keep_cosigned
INSERT INTO kintsugi.log_cosigned (witness, key, size, root, cosigned_at)
VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (key) DO UPDATE
SET size = excluded.size, root = excluded.root, cosigned_at = excluded.cosigned_at
WHERE log_cosigned.cosigned_at < excluded.cosigned_at

-- name: first_witnessed
INSERT INTO kintsugi.log_witnessed (origin, size, root, keys, seen_at)
VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (origin) DO NOTHING

-- name: next_witnessed
UPDATE kintsugi.log_witnessed SET size = %s, root = %s, keys = %s, seen_at = %s
WHERE origin = %s AND size = %s AND root = %s

-- name: leaf
SELECT position, recorded_at, kind, data FROM kintsugi.log_leaves WHERE position = %s

-- name: leaves
SELECT position, recorded_at, kind, data
FROM kintsugi.log_leaves
WHERE position < %s
ORDER BY position DESC
LIMIT %s

-- name: leaf_of_event
-- The leaf of the batch that an event came in with, and the event's position.
SELECT log_batches.leaf, log_batches.first_event, log_batches.last_event, event.position
FROM kintsugi.events AS event
CROSS JOIN LATERAL (
    SELECT leaf, first_event, last_event
    FROM kintsugi.log_batches
    WHERE last_event >= event.position
    ORDER BY last_event
    LIMIT 1
) AS log_batches
WHERE event.id = %s AND log_batches.first_event <= event.position

-- name: records_of_batch
SELECT record, id, position
FROM kintsugi.events LEFT JOIN kintsugi.event_records USING (id)
WHERE position BETWEEN %s AND %s
ORDER BY position

-- name: stretch
SELECT position, recorded_at, kind, data
FROM kintsugi.log_leaves
WHERE position >= %s
ORDER BY position
LIMIT %s

-- name: batch
SELECT event.position, event.id, record
FROM kintsugi.events AS event LEFT JOIN kintsugi.event_records USING (id)
WHERE event.position BETWEEN %s AND %s
ORDER BY event.position

-- name: expired_positions
-- The stretches of these positions whose records went away at the end of their time.
SELECT lower(one), upper(one)
FROM kintsugi.expired_months,
    unnest(positions * int8multirange(int8range(%(first)s, %(last)s + 1))) AS one
WHERE positions && int8range(%(first)s, %(last)s + 1)

-- name: batch_hashes
SELECT hashes FROM kintsugi.log_batches WHERE last_event = %s

-- name: named
-- Of proofs and of the regression ledger, which have an index for it.
SELECT position
FROM kintsugi.log_leaves
WHERE kind IN ('proof', 'regression_ledger') AND data::jsonb ->> 'id' = %s
ORDER BY position
LIMIT 1
