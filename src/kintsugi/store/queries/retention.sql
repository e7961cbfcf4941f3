-- Retention: what was decided, the queue of runs, and what is past its end.

-- name: settings
SELECT record FROM kintsugi.retention_settings ORDER BY version DESC LIMIT 1

-- name: lock
-- Settings are changed, and runs are asked for, by one at a time.
SELECT pg_advisory_xact_lock(hashtext('kintsugi.retention'))

-- name: keep_settings
INSERT INTO kintsugi.retention_settings (version, changed_at, record) VALUES (%s, %s, %s)

-- name: add
INSERT INTO kintsugi.retention_runs (id, state, attempt, created_at, progress_at, record)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING

-- name: unfinished
SELECT id::text FROM kintsugi.retention_runs WHERE state = 'queued' OR state = 'running' LIMIT 1

-- name: since
SELECT 1 FROM kintsugi.retention_runs WHERE created_at > %s LIMIT 1

-- name: get
SELECT record FROM kintsugi.retention_runs WHERE id = %s

-- name: page
SELECT created_at, id::text, record
FROM kintsugi.retention_runs
WHERE (created_at, id) < (%s, %s)
ORDER BY created_at DESC, id DESC
LIMIT %s

-- name: claimable
-- The oldest run that nobody works on. Rows that another worker is about to claim are passed over.
SELECT record
FROM kintsugi.retention_runs
WHERE state = 'queued' OR (state = 'running' AND progress_at < %s)
ORDER BY created_at, id
FOR UPDATE SKIP LOCKED
LIMIT 1

-- name: lock_run
SELECT state, attempt FROM kintsugi.retention_runs WHERE id = %s FOR UPDATE

-- name: update
UPDATE kintsugi.retention_runs
SET state = %s, attempt = %s, progress_at = %s, record = %s
WHERE id = %s

-- name: announce
SELECT pg_notify('kt_retention', '')

-- name: hold_search
-- Whoever fills the full text has finished, and sees from now on what is gone.
SELECT last_position FROM kintsugi.search_position FOR UPDATE

-- name: hold_holds
-- A hold that is being placed comes before what is removed now, or after all of it.
SELECT pg_advisory_xact_lock_shared(hashtext('kintsugi.holds'))

-- name: hold_ties
-- As above, for events that are being tied to an incident.
LOCK TABLE kintsugi.incident_events IN SHARE MODE

-- name: holds
SELECT record FROM kintsugi.holds WHERE released_at IS NULL ORDER BY placed_at, id

-- name: incidents_named
SELECT id, number FROM kintsugi.incidents WHERE id = ANY(%s::uuid[]) OR number = ANY(%s::integer[])

-- name: open_incidents
-- Of these incidents those that are open, or were merged into one that is.
WITH RECURSIVE up AS (
    SELECT i.id AS origin, i.id, i.number, i.ended, i.merged_into
    FROM kintsugi.incidents AS i
    WHERE i.id = ANY(%s::uuid[])
    UNION
    SELECT up.origin, i.id, i.number, i.ended, i.merged_into
    FROM up JOIN kintsugi.incidents AS i ON i.id = up.merged_into
)
SELECT origin::text, id::text, number FROM up WHERE NOT ended

-- name: payloads
SELECT id::text
FROM kintsugi.event_payloads
WHERE id > %s AND id < kintsugi.first_id(%s) AND (payload IS NOT NULL OR sealed <> '')
ORDER BY id
LIMIT %s

-- name: mark_expired
-- Stands for the run where content was; see schema.sql.
INSERT INTO kintsugi.data_keys (id, current, key_id, created_at, erased_at, expired_under)
VALUES (%s, false, '', %s, %s, %s)
ON CONFLICT DO NOTHING

-- name: expire_payloads
UPDATE kintsugi.event_payloads
SET payload = NULL, sealed = '', data_key = %s
WHERE id = ANY(%s::uuid[])

-- name: expire_texts
DELETE FROM kintsugi.event_texts WHERE id = ANY(%s::uuid[])

-- name: drop_own_keys
-- The key of an exchange without user and session opens nothing any more.
DELETE FROM kintsugi.data_keys
WHERE id = ANY(%s::uuid[]) AND subject IS NULL AND erased_at IS NULL

-- name: traces
SELECT trace_id, started_at
FROM kintsugi.traces
WHERE expired_at IS NULL AND (started_at, trace_id) > (%s, %s) AND started_at < %s
ORDER BY started_at, trace_id
LIMIT %s

-- name: lock_traces
SELECT trace_id, started_at, ended_at, spans, labels
FROM kintsugi.traces
WHERE trace_id = ANY(%s) AND expired_at IS NULL AND ended_at < %s
ORDER BY trace_id
FOR UPDATE

-- name: expire_spans
DELETE FROM kintsugi.spans WHERE trace_id = ANY(%s) AND started_at BETWEEN %s AND %s

-- name: expire_span_contents
DELETE FROM kintsugi.span_contents WHERE trace_id = ANY(%s) AND started_at BETWEEN %s AND %s

-- name: expire_traces
UPDATE kintsugi.traces SET spans = 0, failed = 0, expired_at = %s, expired_under = %s
WHERE trace_id = ANY(%s)

-- name: forget_traces
-- What is left of traces goes with the records of their decisions.
DELETE FROM kintsugi.traces WHERE ended_at < %s AND started_at < %s AND expired_at IS NOT NULL

-- name: exports
SELECT created_at, id, job
FROM kintsugi.exports
WHERE state = 'done' AND (created_at, id) > (%s, %s) AND created_at < %s
ORDER BY created_at, id
LIMIT %s

-- name: save_export
UPDATE kintsugi.exports SET state = %s, job = %s WHERE id = %s

-- name: announce_exports
SELECT pg_notify('kt_exports', '')

-- name: signals
SELECT resolved_at, id::text
FROM kintsugi.signals
WHERE (resolved_at, id) > (%s, %s) AND resolved_at < %s
ORDER BY resolved_at, id
LIMIT %s

-- name: expire_signals
DELETE FROM kintsugi.signals WHERE id = ANY(%s::uuid[])

-- name: answers
SELECT token_id, key
FROM kintsugi.idempotent_answers
WHERE saved_at < %s
ORDER BY saved_at
LIMIT %s

-- name: expire_answers
DELETE FROM kintsugi.idempotent_answers AS a
USING unnest(%s::text[], %s::text[]) AS old (token_id, key)
WHERE a.token_id = old.token_id AND a.key = old.key

-- name: months
-- The months of which records are here, by the name that create_month() gives.
SELECT to_date(right(c.relname, 7), 'YYYY_MM')
FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = 'kintsugi.events'::regclass
ORDER BY 1

-- name: archives
-- What was moved of a month, or is being moved.
SELECT record
FROM kintsugi.archives
WHERE month = %s AND (in_force OR state = 'queued' OR state = 'running')
FOR UPDATE

-- name: expire_archive
UPDATE kintsugi.archives SET in_force = false, record = %s WHERE id = %s

-- name: archived_before
SELECT id::text, month, (record::json ->> 'events')::bigint
FROM kintsugi.archives
WHERE in_force AND (month || '-01 00:00Z')::timestamptz + interval '1 month' <= %s
ORDER BY month, id

-- name: lock_ingest
SELECT last_position FROM kintsugi.ingest_position FOR UPDATE

-- name: unproven
-- Positions of these that no batch of the log tells of with the hash of each record.
SELECT NOT %(positions)s::int8multirange
    <@ coalesce(range_agg(int8range(first_event, last_event + 1)), '{}')
FROM kintsugi.log_batches
WHERE hashes IS NOT NULL AND last_event >= %(first)s
    AND last_event <= (SELECT min(last_event) FROM kintsugi.log_batches WHERE last_event >= %(last)s)

-- name: add_expired_month
INSERT INTO kintsugi.expired_months (run_id, first_day, expired_at, policy, events, positions)
VALUES (%s, %s, %s, %s, %s, %s::int8multirange)

-- name: expired_months
SELECT first_day, expired_at, policy, events, run_id::text
FROM kintsugi.expired_months
WHERE first_day < coalesce(%s, 'infinity'::timestamptz)
    AND first_day + interval '1 month' > coalesce(%s, '-infinity'::timestamptz)
ORDER BY first_day, expired_at
