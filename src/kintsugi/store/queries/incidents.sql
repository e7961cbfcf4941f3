-- Incidents, their timelines, their events and their clocks.

-- name: find
SELECT id::text FROM kintsugi.incidents WHERE id = %(id)s::uuid OR number = %(number)s::integer

-- name: lock
-- In one order for everybody, so that two who merge at once do not wait for each other for ever.
SELECT id::text, record FROM kintsugi.incidents WHERE id = ANY(%s::uuid[]) ORDER BY id FOR UPDATE

-- name: get
SELECT record FROM kintsugi.incidents WHERE id = %s::uuid

-- name: lock_numbers
-- Ends with the transaction, so numbers have no gaps.
SELECT pg_advisory_xact_lock(hashtext('kintsugi.incidents'))

-- name: last_number
SELECT coalesce(max(number), 0) FROM kintsugi.incidents

-- name: add
INSERT INTO kintsugi.incidents
    (
        id, number, version, state, severity, ended, reported_at, merged_into, visibility, seers,
        waived, record
    )
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)

-- name: save
UPDATE kintsugi.incidents
SET version = %s, state = %s, severity = %s, ended = %s, merged_into = %s,
    visibility = %s, seers = %s, waived = %s, record = %s
WHERE id = %s

-- name: tied
SELECT count(*) FROM kintsugi.incident_events WHERE incident_id = %s

-- name: unknown_events
SELECT wanted::text
FROM unnest(%s::uuid[]) AS wanted
WHERE NOT EXISTS (SELECT FROM kintsugi.events AS e WHERE e.id = wanted)
LIMIT 10

-- name: tie
INSERT INTO kintsugi.incident_events (incident_id, event_id, tied_at)
SELECT %s, wanted, %s FROM unnest(%s::uuid[]) AS wanted
ON CONFLICT DO NOTHING

-- name: untie
DELETE FROM kintsugi.incident_events WHERE incident_id = %s AND event_id = ANY(%s::uuid[])

-- name: keep_obligation
INSERT INTO kintsugi.incident_obligations (id, incident_id, terminal, due_order)
VALUES (%s, %s, %s, %s)
ON CONFLICT (id) DO UPDATE
SET terminal = excluded.terminal, due_order = excluded.due_order

-- name: page
SELECT record
FROM kintsugi.incidents
WHERE (%(state)s::text = '' OR state = %(state)s)
    AND (NOT %(open)s OR NOT ended)
    AND (NOT %(waived)s OR waived)
    AND (%(severity)s::text = '' OR severity = %(severity)s)
    AND (
        %(viewer)s::text = '' OR visibility <> 'hidden' OR %(viewer)s = ANY(seers)
    )
    AND (
        %(before_at)s::timestamptz IS NULL
        OR (reported_at, id) < (%(before_at)s::timestamptz, %(before_id)s::uuid)
    )
ORDER BY reported_at DESC, id DESC
LIMIT %(limit)s

-- name: count
SELECT count(*)
FROM (
    SELECT 1
    FROM kintsugi.incidents
    WHERE (%(state)s::text = '' OR state = %(state)s)
        AND (NOT %(open)s OR NOT ended)
        AND (NOT %(waived)s OR waived)
        AND (%(severity)s::text = '' OR severity = %(severity)s)
        AND (
            %(viewer)s::text = '' OR visibility <> 'hidden' OR %(viewer)s = ANY(seers)
        )
    LIMIT %(ceiling)s
) AS counted

-- name: timeline_by_at
SELECT e.record, marked.pinned
FROM kintsugi.incident_entries AS e
CROSS JOIN LATERAL (
    SELECT coalesce(
        (
            SELECT m.kind = 'pin'
            FROM kintsugi.incident_entries AS m
            WHERE m.about = e.id AND m.kind IN ('pin', 'unpin')
            ORDER BY m.recorded_at DESC, m.id DESC
            LIMIT 1
        ),
        false
    ) AS pinned
) AS marked
WHERE e.incident_id = %(incident)s
    AND e.about IS NULL
    AND (NOT %(pinned_only)s OR marked.pinned)
    AND (
        %(before_at)s::timestamptz IS NULL
        OR (e.at, e.id) < (%(before_at)s::timestamptz, %(before_id)s::uuid)
    )
ORDER BY e.at DESC, e.id DESC
LIMIT %(limit)s

-- name: timeline_by_recorded_at
SELECT e.record, marked.pinned
FROM kintsugi.incident_entries AS e
CROSS JOIN LATERAL (
    SELECT coalesce(
        (
            SELECT m.kind = 'pin'
            FROM kintsugi.incident_entries AS m
            WHERE m.about = e.id AND m.kind IN ('pin', 'unpin')
            ORDER BY m.recorded_at DESC, m.id DESC
            LIMIT 1
        ),
        false
    ) AS pinned
) AS marked
WHERE e.incident_id = %(incident)s
    AND e.about IS NULL
    AND (NOT %(pinned_only)s OR marked.pinned)
    AND (
        %(before_at)s::timestamptz IS NULL
        OR (e.recorded_at, e.id) < (%(before_at)s::timestamptz, %(before_id)s::uuid)
    )
ORDER BY e.recorded_at DESC, e.id DESC
LIMIT %(limit)s

-- name: annotations
SELECT record
FROM kintsugi.incident_entries
WHERE about = ANY(%s::uuid[]) AND kind = 'annotation'
ORDER BY recorded_at, id

-- name: entry
SELECT record FROM kintsugi.incident_entries WHERE incident_id = %s AND id = %s

-- name: incidents_of
SELECT i.record
FROM kintsugi.incident_events AS t
JOIN kintsugi.incidents AS i ON i.id = t.incident_id
WHERE t.event_id = %s
ORDER BY i.reported_at DESC, i.id DESC

-- name: owed
SELECT o.id::text, o.due_order, i.record
FROM kintsugi.incident_obligations AS o
JOIN kintsugi.incidents AS i ON i.id = o.incident_id
WHERE (%(terminal)s::boolean IS NULL OR o.terminal = %(terminal)s)
    AND (
        %(viewer)s::text IS NULL OR i.visibility = 'open' OR %(viewer)s = ANY(i.seers)
    )
    AND (
        %(after_at)s::timestamptz IS NULL
        OR (o.due_order, o.id) > (%(after_at)s::timestamptz, %(after_id)s::uuid)
    )
ORDER BY o.due_order, o.id
LIMIT %(limit)s

-- name: restricted
SELECT id::text
FROM kintsugi.incidents
WHERE id = ANY(%s::uuid[]) AND visibility <> 'open' AND NOT (%s::text = ANY(seers))

-- name: obligation
SELECT o.id::text, o.due_order, i.record
FROM kintsugi.incident_obligations AS o
JOIN kintsugi.incidents AS i ON i.id = o.incident_id
WHERE o.id = %s

-- name: announce
SELECT pg_notify('kt_incidents', '')

-- name: forget_terms
DELETE FROM kintsugi.incident_terms WHERE incident_id = %s AND term <> ALL(%s)

-- name: keep_terms
INSERT INTO kintsugi.incident_terms (incident_id, term)
SELECT %s, unnest(%s::text[])
ON CONFLICT DO NOTHING

-- name: sharing
-- As many rows as terms times newest at most, however many incidents there are.
SELECT wanted.term, found.incident_id::text
FROM unnest(%(terms)s::text[]) AS wanted (term)
CROSS JOIN LATERAL (
    SELECT t.incident_id
    FROM kintsugi.incident_terms AS t
    WHERE t.term = wanted.term AND t.incident_id <> %(besides)s
    ORDER BY t.incident_id DESC
    LIMIT %(newest)s
) AS found

-- name: family
-- An incident, and those merged into it.
WITH RECURSIVE wanted AS (
    SELECT i.id FROM kintsugi.incidents AS i WHERE i.id = %s::uuid
    UNION
    SELECT i.id FROM kintsugi.incidents AS i JOIN wanted AS w ON i.merged_into = w.id
)
SELECT id::text FROM wanted ORDER BY id
