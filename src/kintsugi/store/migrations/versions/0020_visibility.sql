-- Who may see an incident: "seers" are the names of those who may although it is restricted.
ALTER TABLE kintsugi.incidents
    ADD COLUMN visibility text COLLATE "C" NOT NULL DEFAULT 'open',
    ADD COLUMN seers text[] COLLATE "C" NOT NULL DEFAULT '{}';

UPDATE kintsugi.incidents
SET visibility = CASE
        WHEN severity = 'critical'
            OR record::jsonb -> 'categories' ? 'security_and_data_leakage'
        THEN 'reference'
        ELSE 'open'
    END,
    seers = ARRAY(
        SELECT DISTINCT term ->> 'person'
        FROM jsonb_array_elements(coalesce(record::jsonb -> 'roles', '[]')) AS term
        WHERE term ->> 'renounced_at' IS NULL
    );

ALTER TABLE kintsugi.incidents
    ALTER COLUMN visibility DROP DEFAULT,
    ALTER COLUMN seers DROP DEFAULT;
