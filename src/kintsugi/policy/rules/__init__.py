"""Every kind of policy, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from kintsugi.policy.rule import RuleKind
from kintsugi.policy.rules.agent_firewall.rule import KIND as AGENT_FIREWALL
from kintsugi.policy.rules.audit_logger.rule import KIND as AUDIT_LOGGER
from kintsugi.policy.rules.bias_monitor.rule import KIND as BIAS_MONITOR
from kintsugi.policy.rules.citation_verifier.rule import KIND as CITATION_VERIFIER
from kintsugi.policy.rules.custom.rule import KIND as CUSTOM
from kintsugi.policy.rules.data_routing_policy.rule import KIND as DATA_ROUTING_POLICY
from kintsugi.policy.rules.dlp_filter.rule import KIND as DLP_FILTER
from kintsugi.policy.rules.external_moderation.rule import KIND as EXTERNAL_MODERATION
from kintsugi.policy.rules.groundedness.rule import KIND as GROUNDEDNESS
from kintsugi.policy.rules.human_oversight.rule import KIND as HUMAN_OVERSIGHT
from kintsugi.policy.rules.language_validator.rule import KIND as LANGUAGE_VALIDATOR
from kintsugi.policy.rules.pii_detector.rule import KIND as PII_DETECTOR
from kintsugi.policy.rules.prompt_injection.rule import KIND as PROMPT_INJECTION
from kintsugi.policy.rules.quality_scorer.rule import KIND as QUALITY_SCORER
from kintsugi.policy.rules.rate_limit.rule import KIND as RATE_LIMIT
from kintsugi.policy.rules.rbac.rule import KIND as RBAC
from kintsugi.policy.rules.safety_filter.rule import KIND as SAFETY_FILTER
from kintsugi.policy.rules.schema_validator.rule import KIND as SCHEMA_VALIDATOR
from kintsugi.policy.rules.secrets_detector.rule import KIND as SECRETS_DETECTOR
from kintsugi.policy.rules.spend_limit.rule import KIND as SPEND_LIMIT
from kintsugi.policy.rules.tool_budget.rule import KIND as TOOL_BUDGET
from kintsugi.policy.rules.tool_validation.rule import KIND as TOOL_VALIDATION

KINDS: Mapping[str, RuleKind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            PROMPT_INJECTION,
            PII_DETECTOR,
            SECRETS_DETECTOR,
            DLP_FILTER,
            SAFETY_FILTER,
            SCHEMA_VALIDATOR,
            EXTERNAL_MODERATION,
            CITATION_VERIFIER,
            AGENT_FIREWALL,
            TOOL_VALIDATION,
            TOOL_BUDGET,
            RBAC,
            HUMAN_OVERSIGHT,
            DATA_ROUTING_POLICY,
            SPEND_LIMIT,
            RATE_LIMIT,
            GROUNDEDNESS,
            QUALITY_SCORER,
            LANGUAGE_VALIDATOR,
            BIAS_MONITOR,
            CUSTOM,
            AUDIT_LOGGER,
        )
    }
)
