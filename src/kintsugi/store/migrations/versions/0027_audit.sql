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
