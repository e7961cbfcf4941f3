-- Spans and traces. A batch first makes sure of its months, then takes the rows of its traces in
-- the order of their ids, so that two batches wait for each other and never in a ring; whoever
-- holds a trace's row is the only one to add to it, which keeps a span from being stored twice.

-- name: create_span_month
SELECT kintsugi.create_span_month(%s)

-- name: begin_traces
INSERT INTO kintsugi.traces (trace_id, started_at, ended_at)
SELECT * FROM unnest(%s::text[], %s::timestamptz[], %s::timestamptz[]) AS told (trace_id) ORDER BY 1
ON CONFLICT (trace_id) DO NOTHING

-- name: lock_traces
SELECT trace_id, started_at, ended_at, spans, decisions, failed, decision, labels,
    expired_at, expired_under
FROM kintsugi.traces
WHERE trace_id = ANY(%s)
ORDER BY trace_id
FOR UPDATE

-- name: known_spans
-- Which of these are stored already, looked for only in the months that their traces reach.
SELECT trace_id, span_id
FROM kintsugi.spans
JOIN unnest(%s::text[], %s::text[]) AS told (trace_id, span_id) USING (trace_id, span_id)
WHERE started_at BETWEEN %s AND %s

-- name: copy_spans
COPY kintsugi.spans (trace_id, span_id, started_at, record) FROM STDIN

-- name: copy_contents
COPY kintsugi.span_contents (trace_id, span_id, started_at, content, data_key, sealed) FROM STDIN

-- name: labels
SELECT trace_id, labels FROM kintsugi.traces WHERE trace_id = ANY(%s)

-- name: save_traces
-- Labels come as JSON, since arrays of different lengths make no array.
UPDATE kintsugi.traces AS kept
SET started_at = new.started_at, ended_at = new.ended_at, spans = new.spans,
    decisions = new.decisions, failed = new.failed, decision = new.decision,
    labels = ARRAY(SELECT jsonb_array_elements_text(new.labels::jsonb)),
    expired_at = CASE WHEN new.spans > kept.spans THEN NULL ELSE kept.expired_at END
FROM unnest(
    %s::text[], %s::timestamptz[], %s::timestamptz[], %s::bigint[], %s::bigint[], %s::bigint[],
    %s::text[], %s::text[]
) AS new (trace_id, started_at, ended_at, spans, decisions, failed, decision, labels)
WHERE kept.trace_id = new.trace_id

-- name: trace
SELECT trace_id, started_at, ended_at, spans, decisions, failed, decision, labels,
    expired_at, expired_under
FROM kintsugi.traces
WHERE trace_id = %s

-- name: spans
-- The structure; "held" is false where a content was erased.
SELECT
    record,
    content IS NOT NULL OR (sealed <> '' AND wrapped IS NOT NULL) OR c.trace_id IS NULL AS held
FROM kintsugi.spans AS s
LEFT JOIN kintsugi.span_contents AS c USING (trace_id, span_id, started_at)
LEFT JOIN kintsugi.data_keys AS k ON k.id = c.data_key
WHERE trace_id = %(trace_id)s AND started_at BETWEEN %(since)s AND %(until)s
ORDER BY started_at, span_id
LIMIT %(limit)s

-- name: spans_with_content
SELECT record, content, sealed, data_key, wrapped, key_id
FROM kintsugi.spans
LEFT JOIN kintsugi.span_contents USING (trace_id, span_id, started_at)
LEFT JOIN kintsugi.data_keys AS k ON k.id = data_key
WHERE trace_id = %(trace_id)s AND started_at BETWEEN %(since)s AND %(until)s
ORDER BY started_at, span_id
LIMIT %(limit)s

-- name: span
SELECT record, content, sealed, data_key, wrapped, key_id
FROM kintsugi.spans
LEFT JOIN kintsugi.span_contents USING (trace_id, span_id, started_at)
LEFT JOIN kintsugi.data_keys AS k ON k.id = data_key
WHERE trace_id = %(trace_id)s AND span_id = %(span_id)s
    AND started_at BETWEEN %(since)s AND %(until)s

-- name: contents_of
SELECT count(*)
FROM kintsugi.span_contents AS c JOIN kintsugi.traces AS t ON t.trace_id = c.trace_id
WHERE t.labels @> %s::text[] AND c.started_at BETWEEN t.started_at AND t.ended_at
    AND c.started_at <= coalesce(%s, 'infinity'::timestamptz)
    AND (%s OR NOT EXISTS (SELECT FROM unnest(t.labels) AS one WHERE one LIKE 'user:%%'))
    AND (c.content IS NOT NULL OR c.sealed <> '')

-- name: erase_contents
-- Of a session only what names no user: that is the user's. The row stays, empty: so its span says
-- that it holds nothing any more.
UPDATE kintsugi.span_contents AS c
SET content = NULL, sealed = '', data_key = NULL
FROM kintsugi.traces AS t
WHERE t.trace_id = c.trace_id AND t.labels @> %s::text[]
    AND c.started_at BETWEEN t.started_at AND t.ended_at
    AND c.started_at <= coalesce(%s, 'infinity'::timestamptz)
    AND (%s OR NOT EXISTS (SELECT FROM unnest(t.labels) AS one WHERE one LIKE 'user:%%'))
    AND (c.content IS NOT NULL OR c.sealed <> '')
