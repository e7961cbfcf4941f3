-- What people decided in place of policies.

-- name: add
INSERT INTO kintsugi.overrides
    (
        id, escalation_id, at, decided_by, outcome, policy_name, reason_code, classification,
        proposing, late, in_bulk, seen, waited_ms, record
    )
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)

-- name: page
SELECT record
FROM kintsugi.overrides
WHERE
    (%(by)s::text = '' OR decided_by = %(by)s)
    AND (%(outcome)s::text = '' OR outcome = %(outcome)s)
    AND (NOT %(proposing)s::boolean OR proposing)
    AND (%(before_at)s::timestamptz IS NULL OR (at, id) < (%(before_at)s, %(before_id)s::uuid))
ORDER BY at DESC, id DESC
LIMIT %(limit)s

-- name: of
SELECT record FROM kintsugi.overrides WHERE escalation_id = %s ORDER BY at DESC, id DESC LIMIT 100

-- name: by_reviewer
-- What nobody decided in time is nobody's decision; it counts for the policies.
SELECT
    decided_by,
    count(*),
    count(*) FILTER (WHERE outcome = 'approved'),
    count(*) FILTER (WHERE outcome = 'rejected'),
    count(*) FILTER (WHERE late),
    count(*) FILTER (WHERE in_bulk),
    count(*) FILTER (WHERE NOT seen),
    round(count(*) FILTER (WHERE outcome = 'approved')::numeric / count(*), 4)::double precision,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY waited_ms)
FROM kintsugi.overrides
WHERE at >= %s AND outcome <> 'expired'
GROUP BY decided_by
ORDER BY count(*) DESC, decided_by
LIMIT %s

-- name: by_policy
SELECT
    policy_name,
    reason_code,
    count(*) FILTER (WHERE outcome <> 'expired'),
    count(*) FILTER (WHERE outcome = 'approved'),
    count(*) FILTER (WHERE outcome = 'expired'),
    count(*) FILTER (WHERE classification = 'false_positive'),
    count(*) FILTER (WHERE classification = 'confirmed'),
    coalesce(round(
        count(*) FILTER (WHERE outcome = 'approved')::numeric
        / nullif(count(*) FILTER (WHERE outcome <> 'expired'), 0), 4
    ), 0)::double precision
FROM kintsugi.overrides
WHERE at >= %s
GROUP BY policy_name, reason_code
ORDER BY count(*) DESC, policy_name, reason_code
LIMIT %s
