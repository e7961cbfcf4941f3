-- Contents of spans are sealed as those of events are: "content" is empty where "sealed" is not.
ALTER TABLE kintsugi.span_contents
    ALTER COLUMN content DROP NOT NULL,
    ADD COLUMN data_key uuid,
    ADD COLUMN sealed bytea;
