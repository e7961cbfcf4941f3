-- Which policy caused the most blocks during the incident?
SELECT
pe.policy_name,
COUNT(*) AS block_count
FROM policy_evaluations pe
JOIN ai_decision_events e ON pe.event_id = e.id
WHERE e.timestamp BETWEEN '2026-04-23 14:00:00Z' AND '2026-04-23 16:00:00Z'
AND pe.result = 'block'
GROUP BY pe.policy_name
ORDER BY block_count DESC;
