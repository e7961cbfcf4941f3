-- The newest version of each workflow's registration, and every version there was. "record" is
-- canonical JSON, whose digest is in the log.
CREATE TABLE kintsugi.workflows (
    name text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    status text COLLATE "C" NOT NULL,
    record text COLLATE "C" NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE kintsugi.workflow_versions (
    name text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    record text COLLATE "C" NOT NULL,
    PRIMARY KEY (name, version)
);

-- What traffic said in X-Workflow, counted as it is stored. "judged" tells whether it was held
-- against the registration; whoever changes the registration takes that back. Bounded in number.
CREATE TABLE kintsugi.workflow_names_seen (
    name text COLLATE "C" NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    events bigint NOT NULL,
    judged boolean NOT NULL DEFAULT false,
    PRIMARY KEY (name)
);

CREATE TABLE kintsugi.workflow_parts_seen (
    workflow text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    times bigint NOT NULL,
    judged boolean NOT NULL DEFAULT false,
    PRIMARY KEY (workflow, kind, name, version)
);
