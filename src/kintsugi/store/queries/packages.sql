-- name: leaves
SELECT position, data FROM kintsugi.log_leaves WHERE position = ANY(%s::bigint[])

-- name: records
-- Every record of some batches, by the first position of its batch.
SELECT wanted.first, event.position, event.id, record
FROM unnest(%s::bigint[], %s::bigint[]) AS wanted (first, last)
JOIN kintsugi.events AS event ON event.position BETWEEN wanted.first AND wanted.last
LEFT JOIN kintsugi.event_records USING (id)
ORDER BY event.position

-- name: leaves_of
SELECT data, position
FROM kintsugi.log_leaves
WHERE data = ANY(%s::text[]) AND kind <> 'events'

-- name: reported
SELECT trace_id FROM kintsugi.traces WHERE trace_id = ANY(%s::text[]) AND spans > 0
