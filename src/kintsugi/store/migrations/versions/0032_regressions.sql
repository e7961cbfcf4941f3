-- Regression cases. What ties one to a person (its source, whose it is) stands here and not in its
-- versions, so that an erasure takes it away and leaves them as they are.
CREATE TABLE kintsugi.regressions (
    number integer NOT NULL,
    version integer NOT NULL,
    kind text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    incident_id uuid NOT NULL,
    config_id text COLLATE "C" NOT NULL,
    parent text COLLATE "C" NOT NULL,
    source_id text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    subject text COLLATE "C",
    data_key uuid,
    PRIMARY KEY (number)
);

CREATE INDEX regressions_incident ON kintsugi.regressions (incident_id, number);
CREATE INDEX regressions_config ON kintsugi.regressions (config_id, number);
CREATE INDEX regressions_parent ON kintsugi.regressions (parent, number) WHERE parent <> '';
CREATE INDEX regressions_source ON kintsugi.regressions (source_id) WHERE source_id <> '';
CREATE INDEX regressions_event ON kintsugi.regressions (event_id) WHERE event_id <> '';
CREATE INDEX regressions_subject ON kintsugi.regressions (subject) WHERE subject IS NOT NULL;

-- "record" is JSON without the case itself. That is "content" where the gate found nothing in it,
-- and sealed under the case's own data key where a person kept what it found.
CREATE TABLE kintsugi.regression_versions (
    number integer NOT NULL,
    version integer NOT NULL,
    digest text COLLATE "C" NOT NULL,
    record text COLLATE "C" NOT NULL,
    content text COLLATE "C",
    sealed bytea,
    PRIMARY KEY (number, version)
);
