-- Ingest and lookups of events. Searches with filters are put together in event_search.py.

-- name: lock_ingest
-- Take one's turn: the row stays locked until the commit, so positions are given out in the order
-- in which they become visible.
SELECT last_position FROM kintsugi.ingest_position FOR UPDATE

-- name: known_ids
-- Which of these events are stored already. Each id opens the partition of its own month only.
SELECT id::text FROM kintsugi.events WHERE id = ANY(%s::uuid[])

-- name: create_month
SELECT kintsugi.create_month(%s)

-- name: advance_position
UPDATE kintsugi.ingest_position SET last_position = %s

-- name: add_to_minutes
INSERT INTO kintsugi.decisions_per_minute AS kept (minute, gateway_id, decision, count)
SELECT * FROM unnest(%s::timestamptz[], %s::text[], %s::text[], %s::bigint[])
ON CONFLICT (minute, gateway_id, decision) DO UPDATE SET count = kept.count + excluded.count

-- name: add_to_gateways
INSERT INTO kintsugi.stored_by_gateway AS kept (gateway_id, count)
SELECT * FROM unnest(%s::text[], %s::bigint[])
ON CONFLICT (gateway_id) DO UPDATE SET count = kept.count + excluded.count

-- name: announce
-- Delivered when the transaction commits, not before.
SELECT pg_notify('kt_events', '')

-- name: get
SELECT
    e.position, r.record,
    p.payload, p.sealed, p.data_key, k.wrapped, k.key_id, k.erased_at, k.erasure_id, k.expired_under
FROM kintsugi.events AS e
LEFT JOIN kintsugi.event_records AS r ON r.id = e.id
LEFT JOIN kintsugi.event_payloads AS p ON p.id = e.id
LEFT JOIN kintsugi.data_keys AS k ON k.id = p.data_key
WHERE e.id = %s

-- name: last_position
SELECT last_position FROM kintsugi.ingest_position

-- name: per_minute
SELECT minute, decision, sum(count)::bigint
FROM kintsugi.decisions_per_minute
WHERE minute BETWEEN %s AND %s
GROUP BY minute, decision

-- name: stored_by_gateway
SELECT gateway_id, count FROM kintsugi.stored_by_gateway ORDER BY gateway_id

-- name: lock_search
-- One process fills the index at a time; the others find nothing to do.
SELECT last_position FROM kintsugi.search_position FOR UPDATE SKIP LOCKED

-- name: not_yet_searchable
-- The next events in order of position, with what they said.
SELECT
    event.position, event.id::text, event.timestamp, r.record,
    p.payload, p.sealed, p.data_key, k.wrapped, k.key_id, k.erased_at, k.erasure_id, k.expired_under
FROM (
    SELECT position, id, timestamp
    FROM kintsugi.events
    WHERE position > %s
    ORDER BY position
    LIMIT %s
) AS event
LEFT JOIN kintsugi.event_records AS r ON r.id = event.id
LEFT JOIN kintsugi.event_payloads AS p ON p.id = event.id
LEFT JOIN kintsugi.data_keys AS k ON k.id = p.data_key
ORDER BY event.position

-- name: copy_texts
COPY kintsugi.event_texts (id, timestamp, document) FROM STDIN

-- name: advance_search
UPDATE kintsugi.search_position SET last_position = %s
