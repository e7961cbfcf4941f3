-- How long evidence is kept, by class, and the runs that remove what is older.
CREATE TABLE kintsugi.retention_settings (
    version integer NOT NULL,
    changed_at timestamptz NOT NULL,
    record text COLLATE "C" NOT NULL,
    PRIMARY KEY (version)
);

CREATE TABLE kintsugi.retention_runs (
    id uuid NOT NULL,
    state text COLLATE "C" NOT NULL,
    attempt integer NOT NULL,
    created_at timestamptz NOT NULL,
    progress_at timestamptz NOT NULL,
    record text COLLATE "C" NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX retention_runs_created_at ON kintsugi.retention_runs (created_at, id);
CREATE INDEX retention_runs_unfinished ON kintsugi.retention_runs (created_at)
    WHERE state = 'queued' OR state = 'running';

CREATE TABLE kintsugi.expired_months (
    run_id uuid NOT NULL,
    first_day timestamptz NOT NULL,
    expired_at timestamptz NOT NULL,
    policy text NOT NULL,
    events bigint NOT NULL,
    positions int8multirange NOT NULL,
    PRIMARY KEY (first_day, run_id)
);

ALTER TABLE kintsugi.data_keys ADD COLUMN expired_under text;
ALTER TABLE kintsugi.traces ADD COLUMN expired_at timestamptz;
ALTER TABLE kintsugi.traces ADD COLUMN expired_under text NOT NULL DEFAULT '';

CREATE INDEX event_payloads_kept ON kintsugi.event_payloads (id)
    WHERE payload IS NOT NULL OR sealed <> '';
CREATE INDEX traces_unexpired ON kintsugi.traces (started_at, trace_id) WHERE expired_at IS NULL;
CREATE INDEX signals_resolved_at ON kintsugi.signals (resolved_at, id)
    WHERE resolved_at IS NOT NULL;
CREATE INDEX exports_done ON kintsugi.exports (created_at, id) WHERE state = 'done';
