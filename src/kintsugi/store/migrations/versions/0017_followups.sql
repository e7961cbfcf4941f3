-- "record" is JSON; the columns beside it are what lists are narrowed and put in order by.
CREATE TABLE kintsugi.followups (
    id uuid NOT NULL,
    kind text NOT NULL,
    version integer NOT NULL,
    status text NOT NULL,
    party text NOT NULL,
    settled boolean NOT NULL,
    due_order timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    record text NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX followups_created_at ON kintsugi.followups (kind, created_at, id);
CREATE INDEX followups_status ON kintsugi.followups (kind, status, created_at, id);
CREATE INDEX followups_owed ON kintsugi.followups (due_order, id) WHERE NOT settled;

CREATE TABLE kintsugi.followup_incidents (
    followup_id uuid NOT NULL REFERENCES kintsugi.followups (id),
    incident_id uuid NOT NULL REFERENCES kintsugi.incidents (id),
    PRIMARY KEY (incident_id, followup_id)
);

CREATE INDEX followup_incidents_followup ON kintsugi.followup_incidents (followup_id);
