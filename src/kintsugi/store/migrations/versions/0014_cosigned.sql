-- Who has cosigned checkpoints of this log, and the newest one of each; told by who asked them.
CREATE TABLE kintsugi.log_cosigned (
    key text COLLATE "C" NOT NULL,
    witness text COLLATE "C" NOT NULL,
    size bigint NOT NULL,
    root bytea NOT NULL,
    cosigned_at timestamptz NOT NULL,
    PRIMARY KEY (key)
);
