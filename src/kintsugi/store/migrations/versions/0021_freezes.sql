-- "record" is JSON; the columns beside it are what claiming and listing need.
CREATE TABLE kintsugi.freezes (
    id uuid NOT NULL,
    incident_id uuid NOT NULL,
    asked_at timestamptz NOT NULL,
    state text COLLATE "C" NOT NULL,
    attempt integer NOT NULL,
    progress_at timestamptz NOT NULL,
    record text COLLATE "C" NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX freezes_incident ON kintsugi.freezes (incident_id, asked_at, id);
CREATE INDEX freezes_unfinished ON kintsugi.freezes (asked_at)
    WHERE state = 'queued' OR state = 'running';

-- Which events were frozen, by their place in the order of storing. Nothing is ever taken out.
CREATE TABLE kintsugi.freeze_events (
    freeze_id uuid NOT NULL,
    position bigint NOT NULL,
    event_id uuid NOT NULL,
    PRIMARY KEY (freeze_id, position)
);

-- "source" names what the system told by itself, so that it is told once.
ALTER TABLE kintsugi.incident_entries ADD COLUMN source text COLLATE "C";

CREATE UNIQUE INDEX incident_entries_source ON kintsugi.incident_entries (incident_id, source)
    WHERE source IS NOT NULL;
