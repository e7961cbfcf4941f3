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
