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
