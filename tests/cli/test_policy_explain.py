"""``kt policy explain`` and ``kt reasons``."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from kintsugi.cli.explain import explain, read_event
from kintsugi.errors import InvalidInput
from kintsugi.model.decision import Evaluation, Finding, Mode, Phase
from kintsugi.model.event import Attempt, DecisionEvent, ExchangeStatus, Payload, Unfinished
from kintsugi.model.verdict import Verdict
from tests.cli.conftest import ControlPlane, Kt, event

EVENT = DecisionEvent(
    id="019b76da-a800-7000-8000-000000000001",
    timestamp=datetime(2026, 1, 1, 12, tzinfo=UTC),
    gateway_id="gw-1",
    worker_id="w0",
    dialect="openai.chat",
    config_version="support@3",
    revision="sha256:abc",
    engine_version="0.1.0",
    verdict=Verdict.BLOCK,
    reason_code="prompt_injection.detected",
    status=ExchangeStatus.BLOCKED,
    policy_name="prompt-injection",
    http_status=409,
    model="gpt-4o-mini",
    user_id="ada\x1b[31m",
    latency_ms=12.34,
    overhead_ms=0.9,
    payload=Payload(masked=2),
    evaluations=(
        Evaluation(
            policy_name="pii-detector",
            phase=Phase.INPUT,
            mode=Mode.MONITOR,
            outcome="matched",
            verdict=Verdict.REDACT,
            reason_code="pii.detected",
        ),
        Evaluation(
            policy_name="prompt-injection",
            phase=Phase.INPUT,
            mode=Mode.ENFORCE,
            outcome="matched",
            verdict=Verdict.BLOCK,
            reason_code="prompt_injection.detected",
            findings=(
                Finding(
                    rule="override",
                    reason_code="prompt_injection.detected",
                    verdict=Verdict.BLOCK,
                    path="/messages/0/content",
                    offset=4,
                    length=20,
                    score=0.95,
                    layer="base64",
                ),
            ),
        ),
        Evaluation(
            policy_name="dlp-filter",
            phase=Phase.INPUT,
            mode=Mode.ENFORCE,
            outcome="skipped",
            verdict=Verdict.ALLOW,
            why="blocked by prompt-injection",
        ),
    ),
)


def test_the_decision_chain_is_told_in_order_with_who_decided() -> None:
    lines = explain(EVENT, columns=120).splitlines()
    chain = lines[lines.index("chain") + 1 :]
    deciding = "enforce: matched, block (prompt_injection.detected)  ← decided"
    assert chain == [
        "   1  pii-detector      input   monitor: matched, redact (pii.detected), acted as flag",
        f"   2  prompt-injection  input   {deciding}",
        "        override at /messages/0/content, characters 4 to 24, base64, score 0.95",
        "   3  dlp-filter        input   enforce: skipped: blocked by prompt-injection",
    ]


@pytest.mark.parametrize(
    "words",
    [
        "BLOCKED  019b76da-a800-7000-8000-000000000001",
        "prompt_injection.detected: Prompt injection",
        "2026-01-01T12:00:00.000Z, 12.3 ms in all, 0.9 ms of them in the gateway",
        "blocked, HTTP 409",
        "gpt-4o-mini, never called",
        "support@3",
        "sha256:abc",
        "gw-1/w0, engine 0.1.0",
        "2 spans of the recorded payload",
        "user ada\\x1b[31m",
    ],
)
def test_the_facts_of_the_decision_are_there(words: str) -> None:
    assert words in explain(EVENT)


def test_long_lines_hang_behind_their_heading() -> None:
    narrow = explain(EVENT, columns=70).splitlines()
    start = next(n for n, line in enumerate(narrow) if line.startswith("  meaning"))
    assert narrow[start + 1].startswith(" " * 17)
    assert all(len(line) <= 70 for line in narrow if line.startswith(" " * 17))


def test_a_decision_of_no_policy_is_explained_too() -> None:
    allowed = msgspec.structs.replace(
        EVENT, verdict=Verdict.ALLOW, reason_code="policy.passed", policy_name="", evaluations=()
    )
    shown = explain(allowed)
    assert "no policy" in shown
    assert shown.endswith("no policy ran")


def test_an_exchange_that_was_left_says_what_was_going_on() -> None:
    left = msgspec.structs.replace(
        EVENT, status=ExchangeStatus.INTERRUPTED, unfinished=Unfinished("holding", waits=1)
    )
    assert "  ended while    waiting for a person\n" in explain(left)
    assert "ended while" not in explain(EVENT)


def test_every_call_of_a_target_is_told_with_what_became_of_it() -> None:
    attempts = (
        Attempt("primary", 0.4, 5000.0, error="upstream.timeout"),
        Attempt("second", 5000.6, 210.0, status=200),
    )
    text = explain(msgspec.structs.replace(EVENT, attempts=attempts), columns=100)
    assert "primary  upstream.timeout (after 0.4 ms, took 5000.0 ms)" in text
    assert "second   answered 200 (after 5000.6 ms, took 210.0 ms)" in text


def test_fields_of_a_newer_server_are_passed_over() -> None:
    answer = {**msgspec.to_builtins(EVENT), "decision": "blocked", "new_field": 1}
    assert read_event(answer) == EVENT
    with pytest.raises(InvalidInput):
        read_event({"id": 1})


def test_explain_asks_the_control_plane(kt_online: Kt, control_plane: ControlPlane) -> None:
    stored = event()
    control_plane.stores.events.append([stored])
    assert kt_online("policy", "explain", stored.id, "--json").json["id"] == stored.id
    assert kt_online("policy", "explain", "019b76da-a800-7000-8000-000000000009").code == 1


def test_reasons_lists_every_code(kt: Kt) -> None:
    listed = kt("reasons", "--json").json
    assert "prompt_injection.detected" in [reason["code"] for reason in listed]


def test_one_reason_is_found_in_any_spelling(kt: Kt) -> None:
    reason = kt("reasons", "prompt_injection_detected", "--json").json
    assert reason["code"] == "prompt_injection.detected"
    assert reason["help"]


def test_an_unknown_reason_is_answered_with_the_nearest(kt: Kt) -> None:
    ran = kt("reasons", "pi.detected")
    assert ran.code == 2
    assert 'did you mean "pii.detected"?' in ran.err
