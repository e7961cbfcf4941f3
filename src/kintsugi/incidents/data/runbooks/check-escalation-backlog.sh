#!/bin/bash
# scripts/check-escalation-backlog.sh
set -euo pipefail

PENDING=$(curl -s "${KEEPTRUSTS_API_URL}/v1/escalations?status=pending&limit=0" \
-H "Authorization: Bearer ${API_TOKEN}" | jq '.meta.total')

if [[ "$PENDING" -gt 50 ]]; then
echo "CRITICAL: ${PENDING} pending escalations"
# Send alert to PagerDuty / Slack
exit 2
elif [[ "$PENDING" -gt 20 ]]; then
echo "WARNING: ${PENDING} pending escalations"
exit 1
else
echo "OK: ${PENDING} pending escalations"
exit 0
fi
