-- The Merkle log (ledger/merkle.py), written in the transactions that it tells of. "data" is what
-- the hash of the leaf is of: canonical JSON, kept as it was.
CREATE TABLE kintsugi.log_leaves (
    position bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    kind text COLLATE "C" NOT NULL,
    data text COLLATE "C" NOT NULL,
    PRIMARY KEY (position)
);

CREATE INDEX log_leaves_kind ON kintsugi.log_leaves (kind, position);

-- The hashes of complete subtrees; those of level 0 are the leaves'. A row never changes.
CREATE TABLE kintsugi.log_nodes (
    level smallint NOT NULL,
    position bigint NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (level, position)
);

-- One row: the right edge of the tree. Its lock is the order of the log.
CREATE TABLE kintsugi.log_edge (
    only_row boolean NOT NULL DEFAULT true,
    size bigint NOT NULL,
    hashes bytea[] NOT NULL,
    PRIMARY KEY (only_row),
    CHECK (only_row)
);
INSERT INTO kintsugi.log_edge (size, hashes) VALUES (0, '{}');

-- Which leaf holds which events, by their positions.
CREATE TABLE kintsugi.log_batches (
    last_event bigint NOT NULL,
    first_event bigint NOT NULL,
    leaf bigint NOT NULL,
    PRIMARY KEY (last_event)
);

-- The newest checkpoint of every other log that this one has cosigned: it signs nothing that does
-- not begin with it. "keys" are the log's verifier keys, the first of them as it was first told.
CREATE TABLE kintsugi.log_witnessed (
    origin text COLLATE "C" NOT NULL,
    size bigint NOT NULL,
    root bytea NOT NULL,
    keys text[] NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (origin)
);
