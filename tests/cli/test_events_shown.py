"""``kt events show`` and ``kt policy explain`` of every way in which an exchange can end.

The events are real ones: each was left by an exchange that was played to its end.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import msgspec
import pytest

from kintsugi.gateway import commands as c
from kintsugi.gateway import events as e
from kintsugi.model.event import DecisionEvent
from kintsugi.policy.reasons import REASONS
from tests.cli.conftest import ControlPlane, Kt, event
from tests.gateway.playbook import (
    BLOCKING,
    REDACTING,
    Playbook,
    chat,
    completion,
    in_force,
    stream_of,
)


def blocked() -> Playbook:
    play = Playbook(in_force(BLOCKING, "audit-logger: {}"))
    play.request(chat("STOPME now"))
    return play


def redacted() -> Playbook:
    play = Playbook(in_force(REDACTING, "audit-logger: {}"))
    play.request(chat("I am 123-45-6789"))
    play.exchange_of(completion("You are 123-45-6789"))
    return play


def streamed() -> Playbook:
    play = Playbook(in_force(REDACTING, gateway="streaming: window"))
    play.request(chat("hello", stream=True))
    play.admitted()
    play.head(200, b"text/event-stream")
    play.data(stream_of("one ", "two"))
    play.end()
    return play


def upstream_failed() -> Playbook:
    play = Playbook(in_force())
    play.request()
    play.admitted()
    play.failed("upstream.timeout")
    return play


def client_aborted() -> Playbook:
    play = Playbook(in_force())
    play.request()
    play.admitted()
    play.step(e.ClientAborted(play.tick()))
    return play


def rejected() -> Playbook:
    play = Playbook(in_force(BLOCKING))
    play.request(b"{")
    return play


def switched_off() -> Playbook:
    play = Playbook(in_force(enabled=False))
    play.request()
    return play


def nothing_kept() -> Playbook:
    play = Playbook(in_force(gateway="payload: none"))
    play.request()
    play.exchange_of(completion())
    return play


def failed_gateway() -> Playbook:
    play = Playbook(in_force())
    play.request()
    play.step(e.GatewayFailed(play.tick(), "gateway.internal"))
    return play


SAID: dict[Callable[[], Playbook], tuple[str, ...]] = {
    blocked: (
        "BLOCKED",
        "dlp.pattern_matched: Data pattern",
        "sim-echo, never called",
        "enforce: matched, block (dlp.pattern_matched)  ← decided",
    ),
    redacted: ("REDACTED", "2 spans of the recorded payload", "answered, HTTP 200"),
    streamed: ("ALLOWED", "streamed (window)", "policy.passed: Every policy passed"),
    upstream_failed: ("ALLOWED", "upstream_failed, HTTP 502, upstream.timeout"),
    client_aborted: ("ALLOWED", "client_aborted"),
    rejected: (
        "REJECTED",
        "exchange.rejected: Rejected",
        "rejected, HTTP 422, request.invalid",
        "no policy ran",
    ),
    switched_off: ("REJECTED", "rejected, HTTP 503, pack.disabled", "no policy ran"),
    nothing_kept: ("ALLOWED", "answered, HTTP 200"),
    failed_gateway: ("INTERRUPTED", "interrupted, HTTP 500, gateway.internal"),
}


def left_by(play: Playbook) -> DecisionEvent:
    """The record of an exchange, as if it had been played just now."""
    left = next(command.event for command in play.commands if isinstance(command, c.Record))
    recent = event()
    return msgspec.structs.replace(left, id=recent.id, timestamp=recent.timestamp)


@pytest.mark.parametrize("ending", SAID, ids=lambda ending: ending.__name__)
def test_every_ending_is_told_readably_and_truly(
    ending: Callable[[], Playbook],
    kt_online: Kt,
    control_plane: ControlPlane,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left = left_by(ending())
    assert left.reason_code in REASONS
    control_plane.stores.events.append([left])
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    told = kt_online("policy", "explain", left.id)
    assert told.code == 0, told.err
    for words in SAID[ending]:
        assert words in told.out
    shown = kt_online("events", "show", left.id)
    assert shown.code == 0, shown.err
    assert left.id in shown.out
    assert left.reason_code in shown.out
    listed = kt_online("events", "tail")
    assert listed.code == 0, listed.err
    assert "{}" not in told.out + shown.out + listed.out


def test_a_narrow_terminal_shows_whole_ids_one_decision_a_line(
    kt_online: Kt, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [event(number) for number in range(3)]
    control_plane.stores.events.append(events)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")  # 80 columns, no colour
    lines = kt_online("events", "tail").out.splitlines()
    assert lines[0].split() == ["time", "verdict", "reason", "id"]
    assert [line.split()[-1] for line in lines[1:]] == [event.id for event in events]
    assert all("prompt_injection.detected" in line for line in lines[1:])


def test_an_explanation_keeps_digests_on_the_line_of_their_name(
    kt_online: Kt, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = left_by(redacted())
    control_plane.stores.events.append([left])
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")  # 80 columns, no colour
    assert f"  revision       {left.revision}\n" in kt_online("policy", "explain", left.id).out
