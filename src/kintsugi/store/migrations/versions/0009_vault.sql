-- What is there already lies open in "payload" until the control plane has sealed it in the
-- background; "sealed" is empty where the content was erased.
ALTER TABLE kintsugi.event_payloads
    ALTER COLUMN payload DROP NOT NULL,
    ADD COLUMN data_key uuid,
    ADD COLUMN sealed bytea;

CREATE INDEX event_payloads_open ON kintsugi.event_payloads (id) WHERE payload IS NOT NULL;

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
