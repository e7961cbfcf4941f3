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
