-- Observations that somebody should look at. "detail" is JSON. Of one key at most one is open.
CREATE TABLE kintsugi.signals (
    id uuid NOT NULL,
    at timestamptz NOT NULL,
    kind text COLLATE "C" NOT NULL,
    severity text COLLATE "C" NOT NULL,
    summary text NOT NULL,
    subject text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    detail text NOT NULL,
    seen_at timestamptz NOT NULL,
    acknowledged_at timestamptz,
    acknowledged_by text NOT NULL DEFAULT '',
    note text NOT NULL DEFAULT '',
    resolved_at timestamptz,
    resolved_by text NOT NULL DEFAULT '',
    resolution text NOT NULL DEFAULT '',
    PRIMARY KEY (id)
);

CREATE INDEX signals_at ON kintsugi.signals (at, id);
CREATE INDEX signals_key ON kintsugi.signals (key, at);
CREATE UNIQUE INDEX signals_unresolved ON kintsugi.signals (key) WHERE resolved_at IS NULL;
