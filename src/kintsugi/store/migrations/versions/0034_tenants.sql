-- A constant default takes no time, however many events there are.
ALTER TABLE kintsugi.events ADD COLUMN tenant_id text COLLATE "C" NOT NULL DEFAULT '';

CREATE INDEX events_tenant_id ON kintsugi.events (tenant_id, timestamp) WHERE tenant_id <> '';

-- A view only grows at its end.
CREATE OR REPLACE VIEW public.ai_decision_events AS
SELECT
    id, timestamp, decision, user_id, team_id, gateway_id, model, provider, reason_code,
    policy_name, status, error, http_status, streamed, input_tokens, output_tokens,
    NULL::numeric AS cost_usd,
    latency_ms, overhead_ms, config_version, session_id, agent_id, workflow, trace_id, incident_id,
    stored_at, tenant_id
FROM kintsugi.events;
