-- By which terms incidents resemble each other; kept with the incident's record, in the same
-- transaction. Of each term the newest incidents are read.
CREATE TABLE kintsugi.incident_terms (
    term text COLLATE "C" NOT NULL,
    incident_id uuid NOT NULL,
    PRIMARY KEY (term, incident_id)
);

CREATE INDEX incident_terms_incident ON kintsugi.incident_terms (incident_id);
