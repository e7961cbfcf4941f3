-- "record" is JSON; the columns beside it are what listing and naming need.
CREATE TABLE kintsugi.holds (
    id uuid NOT NULL,
    placed_at timestamptz NOT NULL,
    name text NOT NULL,
    released_at timestamptz,
    record text NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX holds_placed_at ON kintsugi.holds (placed_at, id);
CREATE UNIQUE INDEX holds_name ON kintsugi.holds (name) WHERE released_at IS NULL;
