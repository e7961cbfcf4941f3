"""Events for tests of the store."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from kintsugi.model.decision import Evaluation, Finding, Mode, Phase
from kintsugi.model.event import DecisionEvent, ExchangeStatus, Payload
from kintsugi.model.ids import uuid7
from kintsugi.model.verdict import Verdict
from tests.databases import NOON

BLOCKED = Evaluation(
    policy_name="prompt-injection",
    phase=Phase.INPUT,
    mode=Mode.ENFORCE,
    outcome="matched",
    verdict=Verdict.BLOCK,
    reason_code="prompt_injection.detected",
    findings=(
        Finding(
            rule="ignore_previous",
            reason_code="prompt_injection.detected",
            verdict=Verdict.BLOCK,
            path="/messages/0/content",
            offset=3,
            length=12,
            fingerprint="ab" * 8,
            score=0.9,
            layer="base64+url",
        ),
    ),
)
CLEAR = Evaluation("audit-logger", Phase.AUDIT, Mode.ENFORCE, "clear", Verdict.ALLOW)
SKIPPED = Evaluation(
    "pii-detector",
    Phase.INPUT,
    Mode.ENFORCE,
    "skipped",
    Verdict.ALLOW,
    why="blocked by prompt-injection",
)


def event(number: int = 0, *, at: datetime | None = None, **changes: Any) -> DecisionEvent:
    """An allowed exchange, one second after the one before; ``changes`` say what differs."""
    timestamp = at or NOON - timedelta(hours=1) + timedelta(seconds=number)
    made = DecisionEvent(
        id=event_id(timestamp, number),
        timestamp=timestamp,
        gateway_id="gw-1",
        worker_id="w0",
        dialect="openai.chat",
        config_version="support-prod@3",
        revision="sha256:" + "a" * 64,
        engine_version="0.1.0",
        verdict=Verdict.ALLOW,
        reason_code="policy.passed",
        status=ExchangeStatus.ANSWERED,
        http_status=200,
        model="gpt-4o-mini",
        provider="openai",
        latency_ms=812.25,
        evaluations=(CLEAR,),
    )
    return msgspec.structs.replace(made, **changes)


def blocked(number: int = 0, *, at: datetime | None = None, **changes: Any) -> DecisionEvent:
    """A blocked exchange."""
    return event(
        number,
        at=at,
        **{
            "verdict": Verdict.BLOCK,
            "reason_code": "prompt_injection.detected",
            "policy_name": "prompt-injection",
            "status": ExchangeStatus.BLOCKED,
            "http_status": 409,
            "evaluations": (BLOCKED, SKIPPED, CLEAR),
            **changes,
        },
    )


def said(number: int, request: str = "", response: str = "", **changes: Any) -> DecisionEvent:
    """An exchange with a recorded payload."""
    return event(number, payload=Payload(request=request, response=response), **changes)


def event_id(timestamp: datetime, number: int) -> str:
    """A UUIDv7 of this time; equal numbers at equal times give equal ids."""
    return uuid7(int(timestamp.timestamp() * 1000), number.to_bytes(10, "big"))


def as_sent(stored: DecisionEvent) -> DecisionEvent:
    """A stored event without the digest that the control plane adds: no two are the same."""
    return msgspec.structs.replace(stored, payload_digest="")
