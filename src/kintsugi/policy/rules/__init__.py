"""Every kind of policy, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from kintsugi.policy.rule import RuleKind

_NAMES = (
    "prompt-injection",
    "pii-detector",
    "secrets-detector",
    "dlp-filter",
    "safety-filter",
    "schema-validator",
    "external-moderation",
    "citation-verifier",
    "agent-firewall",
    "tool-validation",
    "tool-budget",
    "rbac",
    "human-oversight",
    "data-routing-policy",
    "spend-limit",
    "rate-limit",
    "groundedness",
    "quality-scorer",
    "language-validator",
    "bias-monitor",
    "custom",
    "audit-logger",
)


class _Kinds(Mapping[str, RuleKind]):
    """Imports a kind's folder when the kind is asked for: a gateway that uses five of them starts
    sooner and is smaller than one that knows them all."""

    def __init__(self) -> None:
        self._loaded: dict[str, RuleKind] = {}

    def __getitem__(self, name: str) -> RuleKind:
        kind = self._loaded.get(name)
        if kind is None:
            if name not in _NAMES:
                raise KeyError(name)
            kind = import_module(f"{__name__}.{name.replace('-', '_')}.rule").KIND
            self._loaded[name] = kind
        return kind

    def __contains__(self, name: object) -> bool:
        return name in _NAMES

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)


KINDS: Mapping[str, RuleKind] = _Kinds()
