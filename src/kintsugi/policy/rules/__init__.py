"""Every kind of policy, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from kintsugi.policy.rule import RuleKind
from kintsugi.policy.rules.audit_logger.rule import KIND as AUDIT_LOGGER
from kintsugi.policy.rules.custom.rule import KIND as CUSTOM
from kintsugi.policy.rules.dlp_filter.rule import KIND as DLP_FILTER
from kintsugi.policy.rules.external_moderation.rule import KIND as EXTERNAL_MODERATION
from kintsugi.policy.rules.pii_detector.rule import KIND as PII_DETECTOR
from kintsugi.policy.rules.prompt_injection.rule import KIND as PROMPT_INJECTION
from kintsugi.policy.rules.safety_filter.rule import KIND as SAFETY_FILTER
from kintsugi.policy.rules.schema_validator.rule import KIND as SCHEMA_VALIDATOR
from kintsugi.policy.rules.secrets_detector.rule import KIND as SECRETS_DETECTOR

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
            CUSTOM,
            AUDIT_LOGGER,
        )
    }
)
