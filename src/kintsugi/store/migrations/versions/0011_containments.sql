-- "record" is JSON; the columns beside it are what listing and pushing need. What has no released_at
-- and has not expired is in force.
CREATE TABLE kintsugi.containments (
    id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    released_at timestamptz,
    record text NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX containments_created_at ON kintsugi.containments (created_at, id);
CREATE INDEX containments_open ON kintsugi.containments (expires_at) WHERE released_at IS NULL;
