-- "record" is the incident as canonical JSON, whose digest is in the log; the columns beside it are
-- what listing needs.
CREATE TABLE kintsugi.incidents (
    id uuid NOT NULL,
    number integer NOT NULL,
    version integer NOT NULL,
    state text COLLATE "C" NOT NULL,
    severity text COLLATE "C" NOT NULL,
    ended boolean NOT NULL,
    reported_at timestamptz NOT NULL,
    merged_into uuid,
    record text COLLATE "C" NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (number)
);

CREATE INDEX incidents_reported_at ON kintsugi.incidents (reported_at, id);
CREATE INDEX incidents_state ON kintsugi.incidents (state, reported_at, id);
CREATE INDEX incidents_open ON kintsugi.incidents (reported_at, id) WHERE NOT ended;
CREATE INDEX incidents_merged ON kintsugi.incidents (merged_into) WHERE merged_into IS NOT NULL;

-- The timelines. "record" is the entry as canonical JSON, whose digest is in the log; "about" is
-- the entry that an annotation or a pin belongs to. Nothing here is ever changed or removed.
CREATE TABLE kintsugi.incident_entries (
    id uuid NOT NULL,
    incident_id uuid NOT NULL,
    at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    kind text COLLATE "C" NOT NULL,
    about uuid,
    record text COLLATE "C" NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX incident_entries_at ON kintsugi.incident_entries (incident_id, at, id)
    WHERE about IS NULL;
CREATE INDEX incident_entries_recorded_at
    ON kintsugi.incident_entries (incident_id, recorded_at, id) WHERE about IS NULL;
CREATE INDEX incident_entries_about ON kintsugi.incident_entries (about, recorded_at, id)
    WHERE about IS NOT NULL;

CREATE TRIGGER incident_entries_are_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON kintsugi.incident_entries
FOR EACH STATEMENT EXECUTE FUNCTION kintsugi.refuse_change();

-- Which decision events belong to which incidents. Apart from the events, whose records never
-- change; an event may belong to several.
CREATE TABLE kintsugi.incident_events (
    incident_id uuid NOT NULL,
    event_id uuid NOT NULL,
    tied_at timestamptz NOT NULL,
    PRIMARY KEY (incident_id, event_id)
);

CREATE INDEX incident_events_event ON kintsugi.incident_events (event_id);

-- The clocks of all incidents, for what is owed next. Kept with the incident's record, in the same
-- transaction. "due_order" is due_at, or far ahead where there is none.
CREATE TABLE kintsugi.incident_obligations (
    id uuid NOT NULL,
    incident_id uuid NOT NULL,
    terminal boolean NOT NULL,
    due_order timestamptz NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX incident_obligations_due ON kintsugi.incident_obligations (due_order, id);
CREATE INDEX incident_obligations_owed ON kintsugi.incident_obligations (due_order, id)
    WHERE NOT terminal;
