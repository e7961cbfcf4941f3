-- What applications report: spans by the month in which they began, and one row for each trace.
-- Contents stand apart from the structure, so that they can be sealed and erased without it.
-- "record" and "content" are JSON, kept as text: the database has no use for their structure.
CREATE TABLE kintsugi.spans (
    trace_id text COLLATE "C" NOT NULL,
    span_id text COLLATE "C" NOT NULL,
    started_at timestamptz NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now(),
    record text COLLATE "C" NOT NULL,
    PRIMARY KEY (trace_id, span_id, started_at)
) PARTITION BY RANGE (started_at);

CREATE TABLE kintsugi.span_contents (
    trace_id text COLLATE "C" NOT NULL,
    span_id text COLLATE "C" NOT NULL,
    started_at timestamptz NOT NULL,
    content text COLLATE "C" NOT NULL,
    PRIMARY KEY (trace_id, span_id, started_at)
) PARTITION BY RANGE (started_at);

-- Kept in the transactions that store spans and events. A span begins between started_at and
-- ended_at of its trace, which tells the months to look into. "decision" is that of the strictest
-- event, empty while there is none.
CREATE TABLE kintsugi.traces (
    trace_id text COLLATE "C" NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    spans bigint NOT NULL DEFAULT 0,
    decisions bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    decision text COLLATE "C" NOT NULL DEFAULT '',
    labels text[] COLLATE "C" NOT NULL DEFAULT '{}',
    PRIMARY KEY (trace_id)
);

CREATE INDEX traces_started_at ON kintsugi.traces (started_at, trace_id);
CREATE INDEX traces_decision ON kintsugi.traces (decision, started_at, trace_id)
    WHERE decision <> '';
CREATE INDEX traces_failed ON kintsugi.traces (started_at, trace_id) WHERE failed > 0;
CREATE INDEX traces_labels ON kintsugi.traces USING gin (labels);

-- Makes the partitions of one month (UTC), if they are not there; see create_month().
CREATE FUNCTION kintsugi.create_span_month(moment timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog SET timezone = 'UTC' AS $$
DECLARE
    first_day CONSTANT timestamptz := date_trunc('month', moment);
    next_first_day CONSTANT timestamptz := first_day + interval '1 month';
    parent text;
    child text;
BEGIN
    IF to_regclass('kintsugi.spans' || to_char(first_day, '_YYYY_MM')) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('kintsugi.create_span_month'));
    -- "spans" last: whoever sees it sees both.
    FOREACH parent IN ARRAY ARRAY['span_contents', 'spans']
    LOOP
        child := parent || to_char(first_day, '_YYYY_MM');
        CONTINUE WHEN to_regclass('kintsugi.' || child) IS NOT NULL;
        EXECUTE format(
            'CREATE TABLE kintsugi.%I (LIKE kintsugi.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
            child, parent);
        EXECUTE format(
            'ALTER TABLE kintsugi.%I ATTACH PARTITION kintsugi.%I FOR VALUES FROM (%L) TO (%L)',
            parent, child, first_day, next_first_day);
    END LOOP;
END
$$;

-- The traces of events that are stored already.
INSERT INTO kintsugi.traces (trace_id, started_at, ended_at, decisions, decision, labels)
SELECT
    trace_id,
    min(timestamp),
    max(timestamp + least(greatest(0, latency_ms), 86400000) * interval '1 millisecond'),
    count(*),
    (ARRAY['allowed', 'flagged', 'transformed', 'redacted', 'escalated', 'quarantined', 'blocked'])[
        max(array_position(
            ARRAY['allowed', 'flagged', 'transformed', 'redacted', 'escalated', 'quarantined',
                'blocked'], decision))],
    coalesce(
        (array_agg(DISTINCT 'session:' || session_id) FILTER (WHERE session_id <> ''))[:20]
            || (array_agg(DISTINCT 'user:' || user_id) FILTER (WHERE user_id <> ''))[:20]
            || (array_agg(DISTINCT 'agent:' || agent_id) FILTER (WHERE agent_id <> ''))[:20],
        '{}')
FROM kintsugi.events
WHERE trace_id <> ''
GROUP BY trace_id;
