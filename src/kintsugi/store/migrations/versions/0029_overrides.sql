-- Claims end by themselves, escalations are due by the tier of their workflow, and what fills the
-- queue is counted by who asks.
ALTER TABLE kintsugi.escalations
    ADD COLUMN tier text COLLATE "C" NOT NULL DEFAULT 'medium',
    ADD COLUMN due_at timestamptz,
    ADD COLUMN classification text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN incident_id text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN asker text COLLATE "C" NOT NULL DEFAULT '';

CREATE INDEX escalations_asker ON kintsugi.escalations (asker)
    WHERE status IN ('pending', 'claimed');
CREATE INDEX escalations_open ON kintsugi.escalations (expires_at, id)
    WHERE status IN ('pending', 'claimed');

-- What people decided in place of policies. "record" is canonical JSON, whose digest is in the log;
-- the columns beside it are what listing and counting need. Nothing here is ever changed.
CREATE TABLE kintsugi.overrides (
    id uuid NOT NULL,
    escalation_id uuid NOT NULL,
    at timestamptz NOT NULL,
    decided_by text NOT NULL,
    outcome text COLLATE "C" NOT NULL,
    policy_name text NOT NULL,
    reason_code text NOT NULL,
    classification text COLLATE "C" NOT NULL,
    proposing boolean NOT NULL,
    late boolean NOT NULL,
    in_bulk boolean NOT NULL,
    seen boolean NOT NULL,
    waited_ms bigint NOT NULL,
    record text COLLATE "C" NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX overrides_at ON kintsugi.overrides (at, id);
CREATE INDEX overrides_by ON kintsugi.overrides (decided_by, at, id);
CREATE INDEX overrides_proposing ON kintsugi.overrides (at, id) WHERE proposing;
CREATE INDEX overrides_escalation ON kintsugi.overrides (escalation_id, at, id);

CREATE TRIGGER overrides_are_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON kintsugi.overrides
FOR EACH STATEMENT EXECUTE FUNCTION kintsugi.refuse_change();

-- What is said in answers that wait for a reviewer, sealed under "data_key", until the event that
-- holds it is stored.
CREATE TABLE kintsugi.escalation_contents (
    id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    data_key uuid NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX escalation_contents_created_at ON kintsugi.escalation_contents (created_at);
