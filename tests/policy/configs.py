"""Configurations built directly, for tests of what comes after parsing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from kintsugi.model.config import Config, FailMode, Gateway, Pack, PolicyBlock, Position, Target
from kintsugi.model.content import Part
from kintsugi.model.decision import Decision, Finding
from kintsugi.model.facts import Facts
from kintsugi.policy.rules import KINDS

# The kinds that look for wording: each finds something in texts, and none needs anything else.
WORDING = (
    "prompt-injection",
    "pii-detector",
    "secrets-detector",
    "dlp-filter",
    "safety-filter",
    "audit-logger",
)
# All kinds but the one that must be told whom to ask.
WITHOUT_OPTIONS = tuple(kind for kind in KINDS if kind != "external-moderation")
FACTS = Facts(now=datetime(2026, 11, 21, 12, 0, tzinfo=UTC), fingerprint_key=b"test key")


def config_of(
    chain: dict[str, dict[str, Any]],
    *,
    fail_mode: FailMode = "block",
    positions: dict[str, Position] | None = None,
    targets: Sequence[Target] = (),
) -> Config:
    """A configuration with these policies in this order."""
    return Config(
        pack=Pack(name="test", version="1.0.0", id="test"),
        gateway=Gateway(fail_mode=fail_mode),
        targets=tuple(targets),
        chain=tuple(
            PolicyBlock(kind, msgspec.convert(options, KINDS[kind].options))
            for kind, options in chain.items()
        ),
        suites=(),
        source="",
        file="policy-config.yaml",
        positions=positions or {},
    )


def user(text: str) -> list[Part]:
    """One user message."""
    return [Part("user", "text", text, "/messages/0/content")]


def answer(text: str, *, start: int = 0) -> Part:
    """The text of an answer, or a window over it."""
    return Part("assistant", "text", text, "/choices/0/message/content", start=start)


def findings(decision: Decision) -> list[Finding]:
    """Of all policies, in order."""
    return [finding for evaluation in decision.evaluations for finding in evaluation.findings]
