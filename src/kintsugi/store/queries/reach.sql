-- How far incidents reach. "wanted" is the incident and those merged into it.

-- name: belonging
-- Which events belong to it, in short.
WITH RECURSIVE wanted AS (
    SELECT i.id FROM kintsugi.incidents AS i WHERE i.id = %(incident)s::uuid
    UNION
    SELECT i.id FROM kintsugi.incidents AS i JOIN wanted AS w ON i.merged_into = w.id
)
SELECT
    (
        SELECT array[count(*), bit_xor(uuid_hash_extended(t.event_id, 0))]
        FROM kintsugi.incident_events AS t
        JOIN wanted AS w ON w.id = t.incident_id
    ),
    (
        SELECT count(*)
        FROM kintsugi.events AS v
        WHERE v.incident_id = ANY(%(names)s::text[]) AND v.incident_id <> ''
    )

-- name: room
-- For this transaction: sorting and hashing what an incident names should not go by the disk.
SET LOCAL work_mem = '64MB'

-- name: extent
-- One pass over the events. Dimensions of few values are counted together first, so that a row costs
-- three groups and not fourteen; the mask tells by its bits which dimension a row is of.
WITH RECURSIVE wanted AS (
    SELECT i.id FROM kintsugi.incidents AS i WHERE i.id = %(incident)s::uuid
    UNION
    SELECT i.id FROM kintsugi.incidents AS i JOIN wanted AS w ON i.merged_into = w.id
),
mine AS (
    SELECT t.event_id AS id
    FROM kintsugi.incident_events AS t
    JOIN wanted AS w ON w.id = t.incident_id
    UNION
    SELECT v.id
    FROM kintsugi.events AS v
    WHERE v.incident_id = ANY(%(names)s::text[]) AND v.incident_id <> ''
),
together AS MATERIALIZED (
    SELECT
        grouping(user_id, session_id) AS part, user_id, session_id,
        team_id, tenant_id, workflow, agent_id, model, provider, gateway_id, config_version,
        decision, policy_name, reason_code,
        count(*) AS events, min(timestamp) AS first_at, max(timestamp) AS last_at
    FROM mine
    JOIN kintsugi.events AS e ON e.id = mine.id
    GROUP BY GROUPING SETS (
        (user_id), (session_id),
        (
            team_id, tenant_id, workflow, agent_id, model, provider, gateway_id, config_version,
            decision, policy_name, reason_code
        )
    )
),
counted AS (
    SELECT 4095 AS mask, user_id AS name, events, first_at, last_at FROM together WHERE part = 1
    UNION ALL
    SELECT 8063, session_id, events, first_at, last_at FROM together WHERE part = 2
    UNION ALL
    SELECT
        4224 + (grouping(team_id, tenant_id, workflow, agent_id) << 8) + grouping(
            model, provider, gateway_id, config_version, decision, policy_name, reason_code
        ),
        coalesce(
            team_id, tenant_id, workflow, agent_id, model, provider, gateway_id, config_version,
            decision, policy_name, reason_code
        ),
        coalesce(sum(events), 0)::bigint, min(first_at), max(last_at)
    FROM together
    WHERE part = 3
    GROUP BY GROUPING SETS (
        (), (team_id), (tenant_id), (workflow), (agent_id), (model), (provider), (gateway_id),
        (config_version), (decision), (policy_name), (reason_code)
    )
)
SELECT mask, name, events, first_at, last_at, named
FROM (
    SELECT
        *,
        count(*) FILTER (WHERE name <> '') OVER (PARTITION BY mask) AS named,
        row_number() OVER (PARTITION BY mask, name = '' ORDER BY events DESC, name) AS place
    FROM counted
) AS ranked
WHERE place <= %(most)s
ORDER BY mask, events DESC, name

-- name: judged
WITH RECURSIVE wanted AS (
    SELECT i.id FROM kintsugi.incidents AS i WHERE i.id = %(incident)s::uuid
    UNION
    SELECT i.id FROM kintsugi.incidents AS i JOIN wanted AS w ON i.merged_into = w.id
),
mine AS MATERIALIZED (
    SELECT t.event_id AS id
    FROM kintsugi.incident_events AS t
    JOIN wanted AS w ON w.id = t.incident_id
    UNION
    SELECT v.id
    FROM kintsugi.events AS v
    WHERE v.incident_id = ANY(%(names)s::text[]) AND v.incident_id <> ''
)
SELECT e.policy_name, e.phase, e.mode, e.outcome, e.result, count(*)
FROM mine
JOIN kintsugi.evaluations AS e ON e.event_id = mine.id
GROUP BY e.policy_name, e.phase, e.mode, e.outcome, e.result
ORDER BY e.policy_name, e.phase, e.mode, e.outcome, e.result

-- name: traffic
-- The others are those nearest to the end of the window, so that a busy one costs no more.
WITH RECURSIVE wanted AS (
    SELECT i.id FROM kintsugi.incidents AS i WHERE i.id = %(incident)s::uuid
    UNION
    SELECT i.id FROM kintsugi.incidents AS i JOIN wanted AS w ON i.merged_into = w.id
),
mine AS MATERIALIZED (
    SELECT t.event_id AS id
    FROM kintsugi.incident_events AS t
    JOIN wanted AS w ON w.id = t.incident_id
    UNION
    SELECT v.id
    FROM kintsugi.events AS v
    WHERE v.incident_id = ANY(%(names)s::text[]) AND v.incident_id <> ''
),
seen AS MATERIALIZED (
    SELECT
        e.timestamp, e.config_version, e.model, e.provider, e.gateway_id,
        e.timestamp >= %(onset)s AS affected
    FROM mine
    JOIN kintsugi.events AS e ON e.id = mine.id
    UNION ALL
    SELECT o.timestamp, o.config_version, o.model, o.provider, o.gateway_id, false
    FROM (
        SELECT e.id, e.timestamp, e.config_version, e.model, e.provider, e.gateway_id
        FROM kintsugi.events AS e
        WHERE e.timestamp >= %(since)s AND e.timestamp <= %(until)s
        ORDER BY e.timestamp DESC, e.id DESC
        LIMIT %(others)s
    ) AS o
    WHERE NOT EXISTS (SELECT FROM mine WHERE mine.id = o.id)
)
SELECT
    grouping(config_version, model, provider, gateway_id) AS mask,
    coalesce(config_version, model, provider, gateway_id) AS name,
    count(*) FILTER (WHERE affected) AS affected,
    count(*) FILTER (WHERE NOT affected) AS others,
    min(timestamp) AS first_at
FROM seen
GROUP BY GROUPING SETS ((config_version), (model), (provider), (gateway_id))

-- name: tied_among
WITH RECURSIVE wanted AS (
    SELECT i.id FROM kintsugi.incidents AS i WHERE i.id = %(incident)s::uuid
    UNION
    SELECT i.id FROM kintsugi.incidents AS i JOIN wanted AS w ON i.merged_into = w.id
)
SELECT t.event_id::text
FROM kintsugi.incident_events AS t
JOIN wanted AS w ON w.id = t.incident_id
WHERE t.event_id = ANY(%(events)s::uuid[])

-- name: changing_steps
SELECT record
FROM kintsugi.spans
WHERE trace_id = ANY(%s::text[])
    AND (record LIKE '%%"step":"write"%%' OR record LIKE '%%"kintsugi.records":%%')
ORDER BY started_at, span_id
LIMIT %s
