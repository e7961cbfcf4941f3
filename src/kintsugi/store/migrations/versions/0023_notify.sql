-- Who is told: webhooks and channels. "record" is JSON; "sealed" holds the secrets, under the data
-- key of the same id. Whoever holds the lease delivers; "ready_at" is when a target that fails, or
-- has had enough for now, is looked at again.
CREATE TABLE kintsugi.notify_targets (
    id uuid NOT NULL,
    name text COLLATE "C" NOT NULL,
    enabled boolean NOT NULL,
    ready_at timestamptz NOT NULL,
    lease_by text COLLATE "C" NOT NULL DEFAULT '',
    lease_until timestamptz,
    record text NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (name)
);

-- Notices on their way. "record" is JSON: attempts and how they went.
CREATE TABLE kintsugi.notify_deliveries (
    id uuid NOT NULL,
    target_id uuid NOT NULL,
    notice_id uuid NOT NULL,
    state text COLLATE "C" NOT NULL,
    due_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    finished_at timestamptz,
    record text NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (target_id, notice_id)
);

CREATE INDEX notify_deliveries_created_at ON kintsugi.notify_deliveries (target_id, created_at, id);
CREATE INDEX notify_deliveries_state
    ON kintsugi.notify_deliveries (target_id, state, created_at, id);
CREATE INDEX notify_deliveries_due ON kintsugi.notify_deliveries (target_id, due_at)
    WHERE state = 'waiting';
CREATE INDEX notify_deliveries_finished ON kintsugi.notify_deliveries (finished_at)
    WHERE finished_at IS NOT NULL;
CREATE INDEX notify_deliveries_notice ON kintsugi.notify_deliveries (notice_id);
