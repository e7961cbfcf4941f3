#!/bin/bash
# Let traffic through that a policy blocks wrongly: for a time, with a second person's approval.
# Everything that went through is judged afterwards. Prefer this to applying
# emergency-passthrough.yaml, which has no end of its own.
set -euo pipefail

USAGE="Usage: emergency-bypass.sh <incident> <policy> <duration> <reason> <whose traffic>...
  such as: emergency-bypass.sh INC-7 dlp-filter 30m 'blocks half of all traffic' --workflow support"
INCIDENT="${1:?$USAGE}"
POLICY="${2:?$USAGE}"
DURATION="${3:?$USAGE}"
REASON="${4:?$USAGE}"
: "${5:?$USAGE}"
shift 4

echo "Asking for a bypass of ${POLICY} for ${DURATION} because of ${INCIDENT}..."
kt contain bypass --policy "$POLICY" --incident "$INCIDENT" --for "$DURATION" --reason "$REASON" "$@"
echo "Another person approves it: kt containments approve ID"
