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

-- Tokens of people carry their person's name and rights; tokens of services have an owner.
ALTER TABLE kintsugi.tokens
    ADD COLUMN roles text[] NOT NULL DEFAULT '{}',
    ADD COLUMN user_id uuid,
    ADD COLUMN owner text NOT NULL DEFAULT '';
