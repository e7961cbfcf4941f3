# Export incident events
curl -X POST "${KEEPTRUSTS_API_URL}/v1/exports" \
-H "Authorization: Bearer ${API_TOKEN}" \
-H "Content-Type: application/json" \
-d '{
"type": "events",
"format": "jsonl",
"filter": {
"start_time": "2026-04-23T14:00:00Z",
"end_time": "2026-04-23T16:00:00Z"
}
}'
