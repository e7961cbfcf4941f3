#!/bin/bash
# runbooks/gateway-restart.sh
set -euo pipefail

GATEWAY_ID="${1:?Usage: gateway-restart.sh <gateway-id>}"
echo "Restarting gateway ${GATEWAY_ID}..."

# Kubernetes
kubectl rollout restart deployment/kt-gateway -n platform
kubectl rollout status deployment/kt-gateway -n platform --timeout=120s

# Verify health
sleep 5
if curl -sf "${KT_GATEWAY_URL:-http://kt-gateway.platform.svc:41002}/health" > /dev/null; then
echo "Gateway ${GATEWAY_ID} is healthy after restart."
else
echo "CRITICAL: Gateway ${GATEWAY_ID} failed health check after restart."
exit 1
fi
