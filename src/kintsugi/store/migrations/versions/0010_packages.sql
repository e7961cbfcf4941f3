-- A leaf by its text, for packages: of everything but batches of events, which are found by their
-- positions.
CREATE INDEX log_leaves_data ON kintsugi.log_leaves USING hash (data) WHERE kind <> 'events';
