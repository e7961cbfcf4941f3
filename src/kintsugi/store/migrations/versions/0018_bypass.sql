-- Containments that loosen control wait for a second person, and what they let through is judged
-- once they are over.
ALTER TABLE kintsugi.containments
    ADD COLUMN waits boolean NOT NULL DEFAULT false,
    ADD COLUMN owes_judgement boolean NOT NULL DEFAULT false;
CREATE INDEX containments_unjudged ON kintsugi.containments (id) WHERE owes_judgement;
