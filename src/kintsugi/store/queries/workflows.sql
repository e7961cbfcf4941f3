-- The inventory of workflows, and what traffic said.

-- name: lock
-- Two people may register the same name at the same time.
SELECT pg_advisory_xact_lock(hashtext('kintsugi.workflows'))

-- name: newest
SELECT record FROM kintsugi.workflows WHERE name = %s

-- name: one
SELECT record FROM kintsugi.workflow_versions WHERE name = %s AND version = %s

-- name: versions
SELECT record FROM kintsugi.workflow_versions WHERE name = %s ORDER BY version DESC

-- name: add
INSERT INTO kintsugi.workflow_versions (name, version, record) VALUES (%s, %s, %s)

-- name: keep
INSERT INTO kintsugi.workflows (name, version, status, record) VALUES (%s, %s, %s, %s)
ON CONFLICT (name) DO UPDATE
SET version = excluded.version, status = excluded.status, record = excluded.record

-- name: page
SELECT record
FROM kintsugi.workflows
WHERE (%(status)s::text IS NULL OR status = %(status)s) AND name > %(after)s
ORDER BY name
LIMIT %(limit)s

-- name: count
SELECT count(*) FROM kintsugi.workflows WHERE %(status)s::text IS NULL OR status = %(status)s

-- name: registered
SELECT name, record FROM kintsugi.workflows WHERE name = ANY(%s)

-- name: known_names
SELECT name FROM kintsugi.workflow_names_seen WHERE name = ANY(%s)

-- name: count_names
SELECT count(*) FROM kintsugi.workflow_names_seen

-- name: see_names
-- Gives those that were not held against the registration yet.
WITH seen AS (
    INSERT INTO kintsugi.workflow_names_seen AS s (name, first_seen_at, last_seen_at, events)
    SELECT told.name, told.first_at, told.last_at, told.events
    FROM unnest(%s::text[], %s::timestamptz[], %s::timestamptz[], %s::bigint[])
        AS told (name, first_at, last_at, events)
    ON CONFLICT (name) DO UPDATE
    SET first_seen_at = least(s.first_seen_at, excluded.first_seen_at),
        last_seen_at = greatest(s.last_seen_at, excluded.last_seen_at),
        events = s.events + excluded.events
    RETURNING s.name, s.first_seen_at, s.judged
)
SELECT name, first_seen_at FROM seen WHERE NOT judged

-- name: known_parts
SELECT workflow, kind, name, version
FROM kintsugi.workflow_parts_seen
WHERE workflow = ANY(%s)

-- name: see_parts
WITH seen AS (
    INSERT INTO kintsugi.workflow_parts_seen AS s
        (workflow, kind, name, version, first_seen_at, last_seen_at, times)
    SELECT told.workflow, told.kind, told.name, told.version, told.first_at, told.last_at,
        told.times
    FROM unnest(
        %s::text[], %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[],
        %s::bigint[]
    ) AS told (workflow, kind, name, version, first_at, last_at, times)
    ON CONFLICT (workflow, kind, name, version) DO UPDATE
    SET first_seen_at = least(s.first_seen_at, excluded.first_seen_at),
        last_seen_at = greatest(s.last_seen_at, excluded.last_seen_at),
        times = s.times + excluded.times
    RETURNING s.workflow, s.kind, s.name, s.version, s.first_seen_at, s.judged
)
SELECT workflow, kind, name, version, first_seen_at FROM seen WHERE NOT judged

-- name: forget_states
-- The oldest beyond the most that are kept of each kind.
DELETE FROM kintsugi.workflow_parts_seen AS s
USING (
    SELECT workflow, kind, name, version,
        row_number() OVER (
            PARTITION BY workflow, kind ORDER BY last_seen_at DESC, name, version
        ) AS place
    FROM kintsugi.workflow_parts_seen
    WHERE workflow = ANY(%s) AND kind = ANY(%s)
) AS o
WHERE o.place > %s
    AND (s.workflow, s.kind, s.name, s.version) = (o.workflow, o.kind, o.name, o.version)

-- name: judged_names
UPDATE kintsugi.workflow_names_seen SET judged = true WHERE name = ANY(%s)

-- name: judged_parts
UPDATE kintsugi.workflow_parts_seen SET judged = true WHERE workflow = ANY(%s) AND NOT judged

-- name: judge_name_again
UPDATE kintsugi.workflow_names_seen SET judged = false WHERE name = %s

-- name: judge_parts_again
UPDATE kintsugi.workflow_parts_seen SET judged = false WHERE workflow = %s

-- name: seen
SELECT name, first_seen_at, last_seen_at, events
FROM kintsugi.workflow_names_seen
WHERE name = %s

-- name: seen_parts
SELECT workflow, kind, name, version, first_seen_at, last_seen_at, times
FROM kintsugi.workflow_parts_seen
WHERE workflow = ANY(%s)
ORDER BY workflow, kind, name, version

-- name: strangers
SELECT s.name, s.first_seen_at, s.last_seen_at, s.events, w.status
FROM kintsugi.workflow_names_seen AS s
LEFT JOIN kintsugi.workflows AS w ON w.name = s.name
WHERE w.status IS DISTINCT FROM 'active' AND s.name > %(after)s
ORDER BY s.name
LIMIT %(limit)s

-- name: count_strangers
SELECT count(*)
FROM kintsugi.workflow_names_seen AS s
LEFT JOIN kintsugi.workflows AS w ON w.name = s.name
WHERE w.status IS DISTINCT FROM 'active'
