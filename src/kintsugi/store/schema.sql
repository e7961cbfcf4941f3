-- The whole schema on one page, as the sum of all migrations leaves it (a test compares the two).
-- Change it together with a new migration; this file is never run on a living database.
--
-- Events are partitioned by month, and the partition key is the id: ids are UUIDv7, so a range of
-- ids is a range of time. That gives three things that partitions on the timestamp would not:
--   * "id" alone is a primary key, so the database itself keeps an event from being stored twice;

--   * a lookup by id opens one partition;

--   * "evaluations JOIN events ON event_id = id" joins month with month, although the join says
--     nothing about time (enable_partitionwise_join, set on the database).
-- A condition on "timestamp" prunes too: every partition carries a CHECK on it. Partitions are made
-- by create_month() before the first row of their month; there is no default partition to hide in.
--
-- Columns of text use the collation "C": equal on every machine, and the fastest to compare.

CREATE SCHEMA IF NOT EXISTS kintsugi;

-- One row per decision: what is filtered, counted and charted. "decision" and the empty string for
-- "not said" are kept as the views show them, so that a filter on a view is a filter on an index.
CREATE TABLE kintsugi.events (
    id uuid NOT NULL,
    position bigint NOT NULL,
    timestamp timestamptz NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now(),
    latency_ms double precision NOT NULL,
    overhead_ms double precision NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    http_status integer NOT NULL,
    streamed boolean NOT NULL,
    decision text COLLATE "C" NOT NULL,
    reason_code text COLLATE "C" NOT NULL,
    policy_name text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    error text COLLATE "C" NOT NULL,
    gateway_id text COLLATE "C" NOT NULL,
    config_version text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    team_id text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    agent_id text COLLATE "C" NOT NULL,
    workflow text COLLATE "C" NOT NULL,
    model text COLLATE "C" NOT NULL,
    provider text COLLATE "C" NOT NULL,
    trace_id text COLLATE "C" NOT NULL,
    incident_id text COLLATE "C" NOT NULL,
    -- Younger than the others, so it stands last.
    tenant_id text COLLATE "C" NOT NULL DEFAULT '',
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);

CREATE INDEX events_position ON kintsugi.events (position);
CREATE INDEX events_timestamp ON kintsugi.events (timestamp, id);
CREATE INDEX events_decision ON kintsugi.events (decision, timestamp);
CREATE INDEX events_reason_code ON kintsugi.events (reason_code, timestamp);
CREATE INDEX events_gateway_id ON kintsugi.events (gateway_id, timestamp);
CREATE INDEX events_config_version ON kintsugi.events (config_version, timestamp);
CREATE INDEX events_policy_name ON kintsugi.events (policy_name, timestamp) WHERE policy_name <> '';
CREATE INDEX events_user_id ON kintsugi.events (user_id, timestamp) WHERE user_id <> '';
CREATE INDEX events_team_id ON kintsugi.events (team_id, timestamp) WHERE team_id <> '';
CREATE INDEX events_tenant_id ON kintsugi.events (tenant_id, timestamp) WHERE tenant_id <> '';
CREATE INDEX events_session_id ON kintsugi.events (session_id, timestamp) WHERE session_id <> '';
CREATE INDEX events_agent_id ON kintsugi.events (agent_id, timestamp) WHERE agent_id <> '';
CREATE INDEX events_workflow ON kintsugi.events (workflow, timestamp) WHERE workflow <> '';
CREATE INDEX events_model ON kintsugi.events (model, timestamp) WHERE model <> '';
CREATE INDEX events_trace_id ON kintsugi.events (trace_id, timestamp) WHERE trace_id <> '';
CREATE INDEX events_incident_id ON kintsugi.events (incident_id, timestamp) WHERE incident_id <> '';

-- The event as its writer wrote it, JSON without the payload: what is given back, byte for byte.
-- "text" rather than "json": the database has no use for its structure, so it need not parse it.
CREATE TABLE kintsugi.event_records (
    id uuid NOT NULL,
    record text COLLATE "C" NOT NULL,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);

-- Prompts and answers, apart from the record so that they can be erased without it: sealed under
-- a data key (vault/sealing.py), empty where they were erased. "payload" is open JSON from before
-- there was a vault, until the control plane has sealed it.
CREATE TABLE kintsugi.event_payloads (
    id uuid NOT NULL,
    payload text COLLATE "C",
    data_key uuid,
    sealed bytea,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);

CREATE INDEX event_payloads_open ON kintsugi.event_payloads (id) WHERE payload IS NOT NULL;

-- What retention has not removed yet, so that looking for it does not grow with what is gone.
CREATE INDEX event_payloads_kept ON kintsugi.event_payloads (id)
    WHERE payload IS NOT NULL OR sealed <> '';

-- One row per policy and phase. "result" is the verdict that acted, in the present tense.
CREATE TABLE kintsugi.evaluations (
    event_id uuid NOT NULL,
    timestamp timestamptz NOT NULL,
    ordinal integer NOT NULL,
    findings integer NOT NULL,
    policy_name text COLLATE "C" NOT NULL,
    phase text COLLATE "C" NOT NULL,
    mode text COLLATE "C" NOT NULL,
    outcome text COLLATE "C" NOT NULL,
    result text COLLATE "C" NOT NULL,
    reason_code text COLLATE "C" NOT NULL,
    PRIMARY KEY (event_id, ordinal)
) PARTITION BY RANGE (event_id);

-- The few evaluations that did something, for "which policy blocked most" joined to the events.
CREATE INDEX evaluations_acted ON kintsugi.evaluations (event_id) INCLUDE (policy_name, result)
    WHERE result <> 'pass' AND result <> 'skipped';
CREATE INDEX evaluations_timestamp ON kintsugi.evaluations
    USING brin (timestamp) WITH (autosummarize = on);

-- Full text, filled in the background: its index costs more than all the rest of an ingest.
CREATE TABLE kintsugi.event_texts (
    id uuid NOT NULL,
    timestamp timestamptz NOT NULL,
    document tsvector NOT NULL,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);

CREATE INDEX event_texts_timestamp ON kintsugi.event_texts (timestamp, id);
CREATE INDEX event_texts_document ON kintsugi.event_texts USING gin (document);

-- One row. Its lock is the order of ingest: whoever holds it gives out the next positions and
-- commits before the next one can, so that a position once passed never gains an event.
CREATE TABLE kintsugi.ingest_position (
    only_row boolean NOT NULL DEFAULT true,
    last_position bigint NOT NULL,
    PRIMARY KEY (only_row),
    CHECK (only_row)
);
INSERT INTO kintsugi.ingest_position (last_position) VALUES (0);

-- One row: events up to this position are in event_texts.
CREATE TABLE kintsugi.search_position (
    only_row boolean NOT NULL DEFAULT true,
    last_position bigint NOT NULL,
    PRIMARY KEY (only_row),
    CHECK (only_row)
);
INSERT INTO kintsugi.search_position (last_position) VALUES (0);

-- Kept in the transaction that stores the events, so that a chart costs the same at any traffic.
CREATE TABLE kintsugi.decisions_per_minute (
    minute timestamptz NOT NULL,
    gateway_id text COLLATE "C" NOT NULL,
    decision text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (minute, gateway_id, decision)
);

CREATE TABLE kintsugi.stored_by_gateway (
    gateway_id text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (gateway_id)
);

CREATE TABLE kintsugi.configuration_versions (
    id text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    content text NOT NULL,
    revision text COLLATE "C" NOT NULL,
    author text NOT NULL,
    note text NOT NULL,
    pack_version text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (id, version)
);

-- "report" is JSON, as the gateway sent it.
CREATE TABLE kintsugi.gateways (
    id text COLLATE "C" NOT NULL,
    report text NOT NULL,
    registered_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    differs text NOT NULL DEFAULT '{}',
    PRIMARY KEY (id)
);

CREATE TABLE kintsugi.tokens (
    id text COLLATE "C" NOT NULL,
    secret_sha256 text COLLATE "C" NOT NULL,
    name text NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    roles text[] NOT NULL DEFAULT '{}',
    user_id uuid,
    owner text NOT NULL DEFAULT '',
    PRIMARY KEY (id),
    UNIQUE (secret_sha256)
);

-- People who use the control plane. "record" is JSON; the columns beside it are what finding needs.
-- None is ever removed: a name in the records means one person.
CREATE TABLE kintsugi.users (
    id uuid NOT NULL,
    name text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    issuer text COLLATE "C",
    subject text COLLATE "C",
    active boolean NOT NULL,
    record text NOT NULL,
    PRIMARY KEY (id)
);

CREATE UNIQUE INDEX users_name ON kintsugi.users (name);
CREATE UNIQUE INDEX users_subject ON kintsugi.users (issuer, subject);
CREATE INDEX users_created_at ON kintsugi.users (created_at, id);

-- Browsers that signed in, invitations, and sign-ins that the provider has not sent back. Of every
-- secret only the SHA-256 is kept; what has ended is removed.
CREATE TABLE kintsugi.sessions (
    id uuid NOT NULL,
    secret_sha256 text COLLATE "C" NOT NULL,
    user_id uuid,
    created_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    record text NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (secret_sha256)
);

CREATE INDEX sessions_user ON kintsugi.sessions (user_id, created_at, id);
CREATE INDEX sessions_ends_at ON kintsugi.sessions (ends_at);

CREATE TABLE kintsugi.invitations (
    user_id uuid NOT NULL,
    code_sha256 text COLLATE "C" NOT NULL,
    expires_at timestamptz NOT NULL,
    record text NOT NULL,
    PRIMARY KEY (user_id),
    UNIQUE (code_sha256)
);

CREATE TABLE kintsugi.sign_ins (
    state_sha256 text COLLATE "C" NOT NULL,
    expires_at timestamptz NOT NULL,
    record text NOT NULL,
    PRIMARY KEY (state_sha256)
);

CREATE INDEX sign_ins_expires_at ON kintsugi.sign_ins (expires_at);

-- "job" is JSON; the columns beside it are what claiming and listing need.
CREATE TABLE kintsugi.exports (
    id text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    attempt integer NOT NULL,
    created_at timestamptz NOT NULL,
    progress_at timestamptz NOT NULL,
    job text NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX exports_created_at ON kintsugi.exports (created_at, id);
CREATE INDEX exports_done ON kintsugi.exports (created_at, id) WHERE state = 'done';
CREATE INDEX exports_unfinished ON kintsugi.exports (created_at)
    WHERE state = 'queued' OR state = 'running';

CREATE TABLE kintsugi.idempotent_answers (
    token_id text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    request_sha256 text NOT NULL,
    status integer NOT NULL,
    body bytea NOT NULL,
    saved_at timestamptz NOT NULL,
    PRIMARY KEY (token_id, key)
);

CREATE INDEX idempotent_answers_saved_at ON kintsugi.idempotent_answers (saved_at);

-- "report" is JSON, as the gateway told it. An escalation that is open after expires_at counts as
-- expired; nothing has to be changed for that.
CREATE TABLE kintsugi.escalations (
    id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    status text COLLATE "C" NOT NULL,
    report text NOT NULL,
    claimed_by text NOT NULL DEFAULT '',
    claimed_at timestamptz,
    resolved_by text NOT NULL DEFAULT '',
    resolved_at timestamptz,
    reason text NOT NULL DEFAULT '',
    used_at timestamptz,
    used_by text NOT NULL DEFAULT '',
    tier text COLLATE "C" NOT NULL DEFAULT 'medium',
    due_at timestamptz,
    classification text COLLATE "C" NOT NULL DEFAULT '',
    incident_id text COLLATE "C" NOT NULL DEFAULT '',
    asker text COLLATE "C" NOT NULL DEFAULT '',
    PRIMARY KEY (id)
);

CREATE INDEX escalations_asker ON kintsugi.escalations (asker)
    WHERE status IN ('pending', 'claimed');
CREATE INDEX escalations_open ON kintsugi.escalations (expires_at, id)
    WHERE status IN ('pending', 'claimed');
CREATE INDEX escalations_created_at ON kintsugi.escalations (created_at, id);
CREATE INDEX escalations_status ON kintsugi.escalations (status, created_at, id);
CREATE INDEX escalations_usable ON kintsugi.escalations (expires_at)
    WHERE resolved_at IS NOT NULL AND used_at IS NULL;

-- "record" is JSON. What has no released_at is in force.
CREATE TABLE kintsugi.quarantines (
    id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    record text NOT NULL,
    released_at timestamptz,
    released_by text NOT NULL DEFAULT '',
    release_reason text NOT NULL DEFAULT '',
    PRIMARY KEY (id)
);

CREATE INDEX quarantines_created_at ON kintsugi.quarantines (created_at, id);
CREATE INDEX quarantines_in_force ON kintsugi.quarantines (created_at) WHERE released_at IS NULL;

-- The password of the login under which `kt sql` runs, where the server asks for one. Whoever can
-- read this table owns the database already. Never dumped.
CREATE TABLE kintsugi.reader_login (
    only_row boolean NOT NULL DEFAULT true,
    password text NOT NULL,
    PRIMARY KEY (only_row),
    CHECK (only_row)
);

-- Key-encryption keys, without the keys: "id" is the beginning of a digest, "reference" what the
-- source needs to give the key back. The newest one wraps.
CREATE TABLE kintsugi.vault_keys (
    ordinal bigint GENERATED ALWAYS AS IDENTITY,
    id text COLLATE "C" NOT NULL,
    source text NOT NULL,
    reference text NOT NULL,
    created_at timestamptz NOT NULL,
    retired_at timestamptz,
    PRIMARY KEY (id)
);

-- One row. The epoch moves when a data key is destroyed or a key-encryption key begins: whoever
-- sealed something before that looks again before storing it.
CREATE TABLE kintsugi.vault_epoch (
    only_row boolean NOT NULL DEFAULT true,
    epoch bigint NOT NULL,
    PRIMARY KEY (only_row),
    CHECK (only_row)
);
INSERT INTO kintsugi.vault_epoch (epoch) VALUES (0);

-- Data keys, wrapped by a key-encryption key. "current" seals new content of its subject; content
-- of the subject from before "not_before" was erased with the key "erased_key". An exchange without
-- user and session has a key of its own, whose id is the event's, and no subject here. A destroyed
-- key stays as a row without the key, so that whoever meets its content knows what became of it.
-- So does a run of retention: its row, with the run's id, has "expired_under", the policy in words.
CREATE TABLE kintsugi.data_keys (
    id uuid NOT NULL,
    subject text COLLATE "C",
    current boolean NOT NULL,
    key_id text COLLATE "C" NOT NULL,
    wrapped bytea,
    created_at timestamptz NOT NULL,
    not_before timestamptz,
    erased_key uuid,
    erased_at timestamptz,
    erasure_id uuid,
    expired_under text,
    PRIMARY KEY (id)
);

CREATE UNIQUE INDEX data_keys_current ON kintsugi.data_keys (subject) WHERE current;
CREATE INDEX data_keys_subject ON kintsugi.data_keys (subject) WHERE subject IS NOT NULL;
CREATE INDEX data_keys_key_id ON kintsugi.data_keys (key_id, id) WHERE wrapped IS NOT NULL;
CREATE INDEX data_keys_erased ON kintsugi.data_keys (erasure_id) WHERE erasure_id IS NOT NULL;

-- "job" is JSON; the columns beside it are what claiming and listing need.
CREATE TABLE kintsugi.erasures (
    id uuid NOT NULL,
    state text COLLATE "C" NOT NULL,
    attempt integer NOT NULL,
    created_at timestamptz NOT NULL,
    progress_at timestamptz NOT NULL,
    destroyed_at timestamptz,
    job text NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX erasures_created_at ON kintsugi.erasures (created_at, id);
CREATE INDEX erasures_destroyed_at ON kintsugi.erasures (destroyed_at)
    WHERE destroyed_at IS NOT NULL;
CREATE INDEX erasures_unfinished ON kintsugi.erasures (created_at)
    WHERE state = 'queued' OR state = 'running';

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

-- A leaf by its text, for packages: of everything but batches of events, which are found by their
-- positions.
CREATE INDEX log_leaves_data ON kintsugi.log_leaves USING hash (data) WHERE kind <> 'events';

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
    -- Of every record, in order, 32 bytes each: tells which one was changed. Their Merkle root is in
    -- the leaf. Null for batches from before there was this column.
    hashes bytea,
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

-- Who has cosigned checkpoints of this log, and the newest one of each; told by who asked them.
CREATE TABLE kintsugi.log_cosigned (
    key text COLLATE "C" NOT NULL,
    witness text COLLATE "C" NOT NULL,
    size bigint NOT NULL,
    root bytea NOT NULL,
    cosigned_at timestamptz NOT NULL,
    PRIMARY KEY (key)
);

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
CREATE INDEX signals_resolved_at ON kintsugi.signals (resolved_at, id)
    WHERE resolved_at IS NOT NULL;
CREATE UNIQUE INDEX signals_unresolved ON kintsugi.signals (key) WHERE resolved_at IS NULL;

-- Who did what with evidence. "record" is the entry as canonical JSON, whose digest is in the log;

-- the columns beside it are what listing needs. Nothing here is ever changed or removed.
CREATE TABLE kintsugi.custody (
    id uuid NOT NULL,
    at timestamptz NOT NULL,
    actor text COLLATE "C" NOT NULL,
    action text COLLATE "C" NOT NULL,
    object text COLLATE "C" NOT NULL,
    record text COLLATE "C" NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX custody_at ON kintsugi.custody (at, id);
CREATE INDEX custody_actor ON kintsugi.custody (actor, at, id);
CREATE INDEX custody_action ON kintsugi.custody (action, at, id);
CREATE INDEX custody_object ON kintsugi.custody (object, at, id);

CREATE FUNCTION kintsugi.refuse_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'kintsugi.% is append-only: % refused', TG_TABLE_NAME, TG_OP;
END
$$;

CREATE TRIGGER custody_is_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON kintsugi.custody
FOR EACH STATEMENT EXECUTE FUNCTION kintsugi.refuse_change();

-- Who called what, and what became of it. "record" is the entry as canonical JSON, whose digest is in
-- the log; the columns beside it are what listing needs. Nothing here is ever changed or removed.
CREATE TABLE kintsugi.audit (
    id uuid NOT NULL,
    at timestamptz NOT NULL,
    actor text COLLATE "C" NOT NULL,
    operation text COLLATE "C" NOT NULL,
    object text COLLATE "C" NOT NULL,
    result text COLLATE "C" NOT NULL,
    record text COLLATE "C" NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX audit_at ON kintsugi.audit (at, id);
CREATE INDEX audit_actor ON kintsugi.audit (actor, at, id);
CREATE INDEX audit_operation ON kintsugi.audit (operation, at, id);
CREATE INDEX audit_object ON kintsugi.audit (object, at, id);
CREATE INDEX audit_unusual ON kintsugi.audit (at, id) WHERE result <> 'done';

CREATE TRIGGER audit_is_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON kintsugi.audit
FOR EACH STATEMENT EXECUTE FUNCTION kintsugi.refuse_change();

-- How far each journal of a gateway was told (ledger/journal_continuity.py), written in the
-- transaction that stores the records.
CREATE TABLE kintsugi.journal_series (
    series text COLLATE "C" NOT NULL,
    last_seq bigint NOT NULL,
    last_chain text COLLATE "C" NOT NULL,
    told_at timestamptz NOT NULL,
    PRIMARY KEY (series)
);

-- Lines that have not come, though later ones have. "key" is that of the signal.
CREATE TABLE kintsugi.journal_gaps (
    series text COLLATE "C" NOT NULL,
    first_seq bigint NOT NULL,
    last_seq bigint NOT NULL,
    chain_before text COLLATE "C" NOT NULL,
    chain_after text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    PRIMARY KEY (series, first_seq)
);

-- "record" is the incident as canonical JSON, whose digest is in the log; the columns beside it are
-- what listing needs. "seers" are the names of those who may see it although it is restricted.
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
    visibility text COLLATE "C" NOT NULL,
    seers text[] COLLATE "C" NOT NULL,
    waived boolean NOT NULL DEFAULT false,
    PRIMARY KEY (id),
    UNIQUE (number)
);

CREATE INDEX incidents_reported_at ON kintsugi.incidents (reported_at, id);
CREATE INDEX incidents_state ON kintsugi.incidents (state, reported_at, id);
CREATE INDEX incidents_open ON kintsugi.incidents (reported_at, id) WHERE NOT ended;
CREATE INDEX incidents_waived ON kintsugi.incidents (reported_at, id) WHERE waived;
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
    -- Names what the system told by itself, so that it is told once.
    source text COLLATE "C",
    PRIMARY KEY (id)
);

CREATE UNIQUE INDEX incident_entries_source ON kintsugi.incident_entries (incident_id, source)
    WHERE source IS NOT NULL;
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

-- Who and what an incident affected: records to be corrected, people to be told. "record" is JSON;

-- the columns beside it are what listing and counting need.
CREATE TABLE kintsugi.incident_affected (
    incident_id uuid NOT NULL,
    kind text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    record text COLLATE "C" NOT NULL,
    PRIMARY KEY (incident_id, kind, key)
);

CREATE INDEX incident_affected_status ON kintsugi.incident_affected (incident_id, kind, status, key);

-- Makes the partitions of one month (UTC), if they are not there. A table is built apart and then
-- attached: CREATE TABLE ... PARTITION OF would wait for every reader and hold up all others.
CREATE FUNCTION kintsugi.create_month(moment timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog SET timezone = 'UTC' AS $$
DECLARE
    first_day CONSTANT timestamptz := date_trunc('month', moment);
    next_first_day CONSTANT timestamptz := first_day + interval '1 month';
    -- The id's time may differ from the timestamp by a second (store/admissible.py).
    tolerance CONSTANT interval := interval '1 second';
    parent text;
    child text;
BEGIN
    PERFORM 1 FROM kintsugi.ingest_position FOR UPDATE;
    FOREACH parent IN ARRAY
        ARRAY['events', 'event_records', 'event_payloads', 'evaluations', 'event_texts']
    LOOP
        child := parent || to_char(first_day, '_YYYY_MM');
        CONTINUE WHEN to_regclass('kintsugi.' || child) IS NOT NULL;
        EXECUTE format(
            'CREATE TABLE kintsugi.%I (LIKE kintsugi.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
            child, parent);
        IF parent NOT IN ('event_records', 'event_payloads') THEN
            EXECUTE format(
                'ALTER TABLE kintsugi.%I ADD CONSTRAINT %I CHECK '
                '(timestamp >= %L::timestamptz AND timestamp < %L::timestamptz)',
                child, child || '_timestamp', first_day - tolerance, next_first_day + tolerance);
        END IF;
        EXECUTE format(
            'ALTER TABLE kintsugi.%I ATTACH PARTITION kintsugi.%I FOR VALUES FROM (%L) TO (%L)',
            parent, child, kintsugi.first_id(first_day), kintsugi.first_id(next_first_day));
    END LOOP;
END
$$;

-- The smallest UUIDv7 of a millisecond.
CREATE FUNCTION kintsugi.first_id(moment timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog AS $$
    SELECT rpad(lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0'), 32, '0')::uuid
$$;

-- What applications report: spans by the month in which they began, and one row for each trace.
-- Contents stand apart from the structure, so that they can be sealed and erased without it.
-- "record" and "content" are JSON, kept as text: the database has no use for their structure.
-- "content" is empty where "sealed" is not; "sealed" is of length 0 where it was erased.
CREATE TABLE kintsugi.spans (
    trace_id text COLLATE "C" NOT NULL,
    span_id text COLLATE "C" NOT NULL,
    started_at timestamptz NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now(),
    record text COLLATE "C" NOT NULL,
    PRIMARY KEY (trace_id, span_id, started_at)
) PARTITION BY RANGE (started_at);

CREATE TABLE kintsugi.span_contents (
    trace_id text COLLATE "C" NOT NULL,
    span_id text COLLATE "C" NOT NULL,
    started_at timestamptz NOT NULL,
    content text COLLATE "C",
    data_key uuid,
    sealed bytea,
    PRIMARY KEY (trace_id, span_id, started_at)
) PARTITION BY RANGE (started_at);

-- Kept in the transactions that store spans and events. A span begins between started_at and
-- ended_at of its trace, which tells the months to look into. "decision" is that of the strictest
-- event, empty while there is none.
CREATE TABLE kintsugi.traces (
    trace_id text COLLATE "C" NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    spans bigint NOT NULL DEFAULT 0,
    decisions bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    decision text COLLATE "C" NOT NULL DEFAULT '',
    labels text[] COLLATE "C" NOT NULL DEFAULT '{}',
    -- When its spans went away at the end of their time, and under which policy; that is empty
    -- where there were none.
    expired_at timestamptz,
    expired_under text NOT NULL DEFAULT '',
    PRIMARY KEY (trace_id)
);

CREATE INDEX traces_started_at ON kintsugi.traces (started_at, trace_id);
CREATE INDEX traces_decision ON kintsugi.traces (decision, started_at, trace_id)
    WHERE decision <> '';
CREATE INDEX traces_failed ON kintsugi.traces (started_at, trace_id) WHERE failed > 0;
CREATE INDEX traces_unexpired ON kintsugi.traces (started_at, trace_id) WHERE expired_at IS NULL;
CREATE INDEX traces_labels ON kintsugi.traces USING gin (labels);

-- Makes the partitions of one month (UTC), if they are not there; see create_month().
CREATE FUNCTION kintsugi.create_span_month(moment timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog SET timezone = 'UTC' AS $$
DECLARE
    first_day CONSTANT timestamptz := date_trunc('month', moment);
    next_first_day CONSTANT timestamptz := first_day + interval '1 month';
    parent text;
    child text;
BEGIN
    IF to_regclass('kintsugi.spans' || to_char(first_day, '_YYYY_MM')) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('kintsugi.create_span_month'));
    -- "spans" last: whoever sees it sees both.
    FOREACH parent IN ARRAY ARRAY['span_contents', 'spans']
    LOOP
        child := parent || to_char(first_day, '_YYYY_MM');
        CONTINUE WHEN to_regclass('kintsugi.' || child) IS NOT NULL;
        EXECUTE format(
            'CREATE TABLE kintsugi.%I (LIKE kintsugi.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
            child, parent);
        EXECUTE format(
            'ALTER TABLE kintsugi.%I ATTACH PARTITION kintsugi.%I FOR VALUES FROM (%L) TO (%L)',
            parent, child, first_day, next_first_day);
    END LOOP;
END
$$;

-- "record" is JSON; the columns beside it are what listing and pushing need. What has no released_at
-- and has not expired is in force.
CREATE TABLE kintsugi.containments (
    id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    released_at timestamptz,
    record text NOT NULL,
    waits boolean NOT NULL DEFAULT false,
    owes_judgement boolean NOT NULL DEFAULT false,
    PRIMARY KEY (id)
);

CREATE INDEX containments_created_at ON kintsugi.containments (created_at, id);
CREATE INDEX containments_open ON kintsugi.containments (expires_at) WHERE released_at IS NULL;
CREATE INDEX containments_unjudged ON kintsugi.containments (id) WHERE owes_judgement;

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

-- What happened, as it is told: a transactional outbox. "record" is JSON. What is waiting has not
-- been handed to anybody's deliveries yet.
CREATE TABLE kintsugi.notices (
    id uuid NOT NULL,
    at timestamptz NOT NULL,
    type text COLLATE "C" NOT NULL,
    waiting boolean NOT NULL DEFAULT true,
    record text NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX notices_at ON kintsugi.notices (at, id);
CREATE INDEX notices_type ON kintsugi.notices (type, at, id);
CREATE INDEX notices_waiting ON kintsugi.notices (at, id) WHERE waiting;

-- Under which keys something was told that is found out by looking, such as a date that has passed.
CREATE TABLE kintsugi.notices_once (
    key text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (key)
);

CREATE INDEX notices_once_at ON kintsugi.notices_once (at);

-- "record" is JSON; the columns beside it are what lists are narrowed and put in order by.
CREATE TABLE kintsugi.followups (
    id uuid NOT NULL,
    kind text NOT NULL,
    version integer NOT NULL,
    status text NOT NULL,
    party text NOT NULL,
    settled boolean NOT NULL,
    due_order timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    record text NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX followups_created_at ON kintsugi.followups (kind, created_at, id);
CREATE INDEX followups_status ON kintsugi.followups (kind, status, created_at, id);
CREATE INDEX followups_owed ON kintsugi.followups (due_order, id) WHERE NOT settled;

CREATE TABLE kintsugi.followup_incidents (
    followup_id uuid NOT NULL REFERENCES kintsugi.followups (id),
    incident_id uuid NOT NULL REFERENCES kintsugi.incidents (id),
    PRIMARY KEY (incident_id, followup_id)
);

CREATE INDEX followup_incidents_followup ON kintsugi.followup_incidents (followup_id);

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

-- How long each class of evidence is kept, by version. "record" is JSON.
CREATE TABLE kintsugi.retention_settings (
    version integer NOT NULL,
    changed_at timestamptz NOT NULL,
    record text COLLATE "C" NOT NULL,
    PRIMARY KEY (version)
);

-- Runs that remove what is older. "record" is JSON; the columns beside it are what claiming and
-- listing need.
CREATE TABLE kintsugi.retention_runs (
    id uuid NOT NULL,
    state text COLLATE "C" NOT NULL,
    attempt integer NOT NULL,
    created_at timestamptz NOT NULL,
    progress_at timestamptz NOT NULL,
    record text COLLATE "C" NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX retention_runs_created_at ON kintsugi.retention_runs (created_at, id);
CREATE INDEX retention_runs_unfinished ON kintsugi.retention_runs (created_at)
    WHERE state = 'queued' OR state = 'running';

-- Months whose records were removed. "positions" are those of its events, so that whoever computes
-- the log again knows which records are gone by policy: all others that are missing were lost.
CREATE TABLE kintsugi.expired_months (
    run_id uuid NOT NULL,
    first_day timestamptz NOT NULL,
    expired_at timestamptz NOT NULL,
    policy text NOT NULL,
    events bigint NOT NULL,
    positions int8multirange NOT NULL,
    PRIMARY KEY (first_day, run_id)
);

-- What people and machines sent in. "record" is canonical JSON that never changes and whose digest
-- is in the log; "standing" is what became of it.
CREATE TABLE kintsugi.reports (
    id uuid NOT NULL,
    at timestamptz NOT NULL,
    channel text COLLATE "C" NOT NULL,
    sender text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    incident_id uuid,
    leaf bigint NOT NULL,
    standing text COLLATE "C" NOT NULL,
    record text COLLATE "C" NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX reports_at ON kintsugi.reports (at, id);
CREATE INDEX reports_sender ON kintsugi.reports (sender, at, id);
CREATE INDEX reports_incident ON kintsugi.reports (incident_id, at, id);
CREATE INDEX reports_unsettled ON kintsugi.reports (at, id) WHERE status = 'unmapped';

-- How often the same thing came to an incident.
CREATE TABLE kintsugi.report_recurrences (
    fingerprint text COLLATE "C" NOT NULL,
    incident_id uuid NOT NULL,
    reports bigint NOT NULL,
    resolved bigint NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    firing boolean NOT NULL,
    PRIMARY KEY (fingerprint, incident_id)
);

CREATE INDEX report_recurrences_incident
    ON kintsugi.report_recurrences (incident_id, last_at);

-- What came with reports: sealed, or open where the server has no keys.
CREATE TABLE kintsugi.report_files (
    report_id uuid NOT NULL,
    digest text COLLATE "C" NOT NULL,
    content bytea,
    data_key uuid,
    sealed bytea,
    PRIMARY KEY (report_id, digest)
);

-- Doors for machines and for people outside. "record" is JSON.
CREATE TABLE kintsugi.report_sources (
    name text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    record text COLLATE "C" NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE kintsugi.report_links (
    id text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    record text COLLATE "C" NOT NULL,
    hour timestamptz,
    used_this_hour integer NOT NULL DEFAULT 0,
    used bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (id)
);

CREATE INDEX report_links_created_at ON kintsugi.report_links (created_at, id);

-- What people decided in place of policies. "record" is canonical JSON, whose digest is in the log;

-- the columns beside it are what listing and counting need. Nothing here is ever changed.
CREATE TABLE kintsugi.overrides (
    id uuid NOT NULL,
    escalation_id uuid NOT NULL,
    at timestamptz NOT NULL,
    decided_by text NOT NULL,
    outcome text COLLATE "C" NOT NULL,
    policy_name text NOT NULL,
    reason_code text NOT NULL,
    classification text COLLATE "C" NOT NULL,
    proposing boolean NOT NULL,
    late boolean NOT NULL,
    in_bulk boolean NOT NULL,
    seen boolean NOT NULL,
    waited_ms bigint NOT NULL,
    record text COLLATE "C" NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX overrides_at ON kintsugi.overrides (at, id);
CREATE INDEX overrides_by ON kintsugi.overrides (decided_by, at, id);
CREATE INDEX overrides_proposing ON kintsugi.overrides (at, id) WHERE proposing;
CREATE INDEX overrides_escalation ON kintsugi.overrides (escalation_id, at, id);

CREATE TRIGGER overrides_are_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON kintsugi.overrides
FOR EACH STATEMENT EXECUTE FUNCTION kintsugi.refuse_change();

-- What is said in answers that wait for a reviewer, sealed under "data_key", until the event that
-- holds it is stored.
CREATE TABLE kintsugi.escalation_contents (
    id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    data_key uuid NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX escalation_contents_created_at ON kintsugi.escalation_contents (created_at);

-- By which terms incidents resemble each other; kept with the incident's record, in the same
-- transaction. Of each term the newest incidents are read.
CREATE TABLE kintsugi.incident_terms (
    term text COLLATE "C" NOT NULL,
    incident_id uuid NOT NULL,
    PRIMARY KEY (term, incident_id)
);

CREATE INDEX incident_terms_incident ON kintsugi.incident_terms (incident_id);

-- Regression cases. What ties one to a person (its source, whose it is) stands here and not in its
-- versions, so that an erasure takes it away and leaves them as they are.
CREATE TABLE kintsugi.regressions (
    number integer NOT NULL,
    version integer NOT NULL,
    kind text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    incident_id uuid NOT NULL,
    config_id text COLLATE "C" NOT NULL,
    parent text COLLATE "C" NOT NULL,
    source_id text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    subject text COLLATE "C",
    data_key uuid,
    PRIMARY KEY (number)
);

CREATE INDEX regressions_incident ON kintsugi.regressions (incident_id, number);
CREATE INDEX regressions_config ON kintsugi.regressions (config_id, number);
CREATE INDEX regressions_parent ON kintsugi.regressions (parent, number) WHERE parent <> '';
CREATE INDEX regressions_source ON kintsugi.regressions (source_id) WHERE source_id <> '';
CREATE INDEX regressions_event ON kintsugi.regressions (event_id) WHERE event_id <> '';
CREATE INDEX regressions_subject ON kintsugi.regressions (subject) WHERE subject IS NOT NULL;

-- "record" is JSON without the case itself. That is "content" where the gate found nothing in it,
-- and sealed under the case's own data key where a person kept what it found.
CREATE TABLE kintsugi.regression_versions (
    number integer NOT NULL,
    version integer NOT NULL,
    digest text COLLATE "C" NOT NULL,
    record text COLLATE "C" NOT NULL,
    content text COLLATE "C",
    sealed bytea,
    PRIMARY KEY (number, version)
);

-- Proofs: "record" is canonical JSON, whose digest is in the log. Nothing here is ever changed.
CREATE TABLE kintsugi.proofs (
    number integer NOT NULL,
    incident_id uuid NOT NULL,
    at timestamptz NOT NULL,
    passed boolean NOT NULL,
    record text COLLATE "C" NOT NULL,
    PRIMARY KEY (number)
);

CREATE INDEX proofs_incident ON kintsugi.proofs (incident_id, number);

CREATE TRIGGER proofs_are_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON kintsugi.proofs
FOR EACH STATEMENT EXECUTE FUNCTION kintsugi.refuse_change();

-- The regression ledger: which cases bind, and everything that changed in that. A case stands as its
-- newest entry says. "record" is canonical JSON, whose digest is in the log.
CREATE TABLE kintsugi.regression_ledger (
    position integer NOT NULL,
    id uuid NOT NULL,
    act text COLLATE "C" NOT NULL,
    regression_id text COLLATE "C" NOT NULL,
    incident_id uuid NOT NULL,
    config_id text COLLATE "C" NOT NULL,
    gateways text[] COLLATE "C" NOT NULL,
    record text COLLATE "C" NOT NULL,
    PRIMARY KEY (position),
    UNIQUE (id)
);

CREATE INDEX regression_ledger_case ON kintsugi.regression_ledger (regression_id, position);
CREATE INDEX regression_ledger_config ON kintsugi.regression_ledger (config_id, position);
CREATE INDEX regression_ledger_incident ON kintsugi.regression_ledger (incident_id, position);
CREATE INDEX regression_ledger_gateways ON kintsugi.regression_ledger USING gin (gateways);

CREATE TRIGGER regression_ledger_is_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON kintsugi.regression_ledger
FOR EACH STATEMENT EXECUTE FUNCTION kintsugi.refuse_change();

-- What a proof or an entry of the ledger stands in, found by its id.
CREATE INDEX log_leaves_named ON kintsugi.log_leaves ((data::jsonb ->> 'id'))
WHERE kind IN ('proof', 'regression_ledger');

-- The contract's views: names and columns stay as they are.
CREATE VIEW public.ai_decision_events AS
SELECT
    id, timestamp, decision, user_id, team_id, gateway_id, model, provider, reason_code,
    policy_name, status, error, http_status, streamed, input_tokens, output_tokens,
    -- Filled when prices are known; a guess would be worse than a null.
    NULL::numeric AS cost_usd,
    latency_ms, overhead_ms, config_version, session_id, agent_id, workflow, trace_id, incident_id,
    stored_at, tenant_id
FROM kintsugi.events;

CREATE VIEW public.policy_evaluations AS
SELECT
    event_id::text || ':' || ordinal::text AS id,
    event_id, timestamp, policy_name, phase, mode, outcome, result, reason_code, findings, ordinal
FROM kintsugi.evaluations;
