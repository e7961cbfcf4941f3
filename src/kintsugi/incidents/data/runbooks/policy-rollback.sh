#!/bin/bash
# runbooks/policy-rollback.sh
set -euo pipefail

CONFIG_ID="${1:?Usage: policy-rollback.sh <config-id>}"
TARGET_VERSION="${2:?Usage: policy-rollback.sh <config-id> <version>}"

echo "Rolling back config ${CONFIG_ID} to version ${TARGET_VERSION}..."

# Fetch the target version content
CONTENT=$(curl -s "${KEEPTRUSTS_API_URL}/v1/configurations/${CONFIG_ID}/versions/${TARGET_VERSION}" \
-H "Authorization: Bearer ${API_TOKEN}" | jq -r '.data.content')

# Validate before applying
echo "$CONTENT" > /tmp/rollback-config.yaml
kt policy lint --file /tmp/rollback-config.yaml

# Apply the rollback
curl -X PUT "${KEEPTRUSTS_API_URL}/v1/configurations/${CONFIG_ID}" \
-H "Authorization: Bearer ${API_TOKEN}" \
-H "Content-Type: application/json" \
-d "{\"content\": $(echo "$CONTENT" | jq -Rs .)}"

echo "Rollback complete. Gateways will pick up the new config on next sync."
rm -f /tmp/rollback-config.yaml
