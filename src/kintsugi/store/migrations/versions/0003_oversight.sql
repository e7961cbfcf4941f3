-- "report" is JSON, as the gateway told it. An escalation that is open after expires_at counts as
-- expired; nothing has to be changed for that.
CREATE TABLE kintsugi.escalations (
    id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    status text COLLATE "C" NOT NULL,
    report text NOT NULL,
    claimed_by text NOT NULL DEFAULT '',
    claimed_at timestamptz,
    resolved_by text NOT NULL DEFAULT '',
    resolved_at timestamptz,
    reason text NOT NULL DEFAULT '',
    used_at timestamptz,
    used_by text NOT NULL DEFAULT '',
    PRIMARY KEY (id)
);

CREATE INDEX escalations_created_at ON kintsugi.escalations (created_at, id);
CREATE INDEX escalations_status ON kintsugi.escalations (status, created_at, id);
CREATE INDEX escalations_usable ON kintsugi.escalations (expires_at)
    WHERE resolved_at IS NOT NULL AND used_at IS NULL;

-- "record" is JSON. What has no released_at is in force.
CREATE TABLE kintsugi.quarantines (
    id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    record text NOT NULL,
    released_at timestamptz,
    released_by text NOT NULL DEFAULT '',
    release_reason text NOT NULL DEFAULT '',
    PRIMARY KEY (id)
);

CREATE INDEX quarantines_created_at ON kintsugi.quarantines (created_at, id);
CREATE INDEX quarantines_in_force ON kintsugi.quarantines (created_at) WHERE released_at IS NULL;

-- What waited for a person before there was a table for it, as far as its record tells.
INSERT INTO kintsugi.escalations (id, created_at, expires_at, status, report)
SELECT
    id, timestamp, '9999-01-01 00:00:00+00', 'pending',
    json_build_object(
        'id', id, 'created_at', to_json(timestamp), 'expires_at', '9999-01-01T00:00:00Z',
        'action_digest', '', 'revision', '', 'phase', 'input', 'policy_name', policy_name,
        'reason_code', reason_code, 'gateway_id', gateway_id, 'config_version', config_version,
        'model', model, 'identity', json_build_object('user_id', user_id, 'team_id', team_id,
        'session_id', session_id, 'agent_id', agent_id, 'workflow', workflow)
    )::text
FROM kintsugi.events
WHERE decision = 'escalated';
