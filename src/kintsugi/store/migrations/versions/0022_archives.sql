-- Months of evidence that moved to files elsewhere, and the tasks that move them. "record" is JSON;
-- the columns beside it are what claiming, listing and reading need.
CREATE TABLE kintsugi.archives (
    id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    month text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    attempt integer NOT NULL,
    progress_at timestamptz NOT NULL,
    in_force boolean NOT NULL,
    record text NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX archives_created_at ON kintsugi.archives (created_at, id);
CREATE INDEX archives_in_force ON kintsugi.archives (month) WHERE in_force;
CREATE UNIQUE INDEX archives_unfinished ON kintsugi.archives (month)
    WHERE state = 'queued' OR state = 'running';

-- The positions tell which file a record was moved to.
CREATE TABLE kintsugi.archive_files (
    archive_id uuid NOT NULL,
    name text COLLATE "C" NOT NULL,
    holds text COLLATE "C" NOT NULL,
    rows bigint NOT NULL,
    first_position bigint NOT NULL,
    last_position bigint NOT NULL,
    bytes bigint NOT NULL,
    sha256 text COLLATE "C" NOT NULL,
    PRIMARY KEY (archive_id, name)
);

CREATE INDEX archive_files_positions ON kintsugi.archive_files (last_position)
    WHERE holds = 'events';
