-- Incidents of which a gate was waived: what is relaxed is shown until it ends.
ALTER TABLE kintsugi.incidents ADD COLUMN waived boolean NOT NULL DEFAULT false;

UPDATE kintsugi.incidents SET waived = true
WHERE jsonb_array_length(coalesce(record::jsonb -> 'waivers', '[]')) > 0;

CREATE INDEX incidents_waived ON kintsugi.incidents (reported_at, id) WHERE waived;
