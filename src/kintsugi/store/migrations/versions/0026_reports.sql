-- What people and machines sent in. "record" is canonical JSON that never changes and whose digest
-- is in the log; "standing" is what became of it.
CREATE TABLE kintsugi.reports (
    id uuid NOT NULL,
    at timestamptz NOT NULL,
    channel text COLLATE "C" NOT NULL,
    sender text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    incident_id uuid,
    leaf bigint NOT NULL,
    standing text COLLATE "C" NOT NULL,
    record text COLLATE "C" NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX reports_at ON kintsugi.reports (at, id);
CREATE INDEX reports_sender ON kintsugi.reports (sender, at, id);
CREATE INDEX reports_incident ON kintsugi.reports (incident_id, at, id);
CREATE INDEX reports_unsettled ON kintsugi.reports (at, id) WHERE status = 'unmapped';

-- How often the same thing came to an incident.
CREATE TABLE kintsugi.report_recurrences (
    fingerprint text COLLATE "C" NOT NULL,
    incident_id uuid NOT NULL,
    reports bigint NOT NULL,
    resolved bigint NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    firing boolean NOT NULL,
    PRIMARY KEY (fingerprint, incident_id)
);

CREATE INDEX report_recurrences_incident
    ON kintsugi.report_recurrences (incident_id, last_at);

-- What came with reports: sealed, or open where the server has no keys.
CREATE TABLE kintsugi.report_files (
    report_id uuid NOT NULL,
    digest text COLLATE "C" NOT NULL,
    content bytea,
    data_key uuid,
    sealed bytea,
    PRIMARY KEY (report_id, digest)
);

-- Doors for machines and for people outside. "record" is JSON.
CREATE TABLE kintsugi.report_sources (
    name text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    record text COLLATE "C" NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE kintsugi.report_links (
    id text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    record text COLLATE "C" NOT NULL,
    hour timestamptz,
    used_this_hour integer NOT NULL DEFAULT 0,
    used bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (id)
);

CREATE INDEX report_links_created_at ON kintsugi.report_links (created_at, id);
