# Check pending escalations
curl -s "https://api.keeptrusts.example/v1/escalations?status=pending" \
-H "Authorization: Bearer $API_TOKEN" | jq '{
pending_count: .meta.total,
oldest: .data[-1].created_at,
by_policy: [.data[] | .policy_name] | group_by(.) | map({(.[0]): length}) | add
}'
