-- Impacted users
SELECT DISTINCT user_id, COUNT(*) AS blocked_requests
FROM ai_decision_events
WHERE timestamp BETWEEN '2026-04-23 14:00:00Z' AND '2026-04-23 16:00:00Z'
AND decision = 'blocked'
GROUP BY user_id
ORDER BY blocked_requests DESC
LIMIT 20;
