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
