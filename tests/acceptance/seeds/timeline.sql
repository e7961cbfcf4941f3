-- Timeline of the incident
SELECT
date_trunc('minute', timestamp) AS minute,
decision,
COUNT(*) AS count
FROM ai_decision_events
WHERE timestamp BETWEEN '2026-04-23 14:00:00Z' AND '2026-04-23 16:00:00Z'
GROUP BY minute, decision
ORDER BY minute;
