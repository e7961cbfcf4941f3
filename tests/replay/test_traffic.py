"""Generated exchanges of every dialect come out of a replay as they were decided."""

from __future__ import annotations

import socket
from typing import Any

import msgspec
import pytest
from benchmarks.replay_million import again
from benchmarks.replay_traffic import Recorded, exchange, judge_of, judges

from kintsugi.model.decision import Phase
from kintsugi.policy.rule import Rule
from kintsugi.policy.rules import KINDS
from kintsugi.replay.decisions import Replayed, replay

EXCHANGES = 400
# What no engine can help: it was masked, nobody judged it, or it is no text.
EXCUSED = ("masked", "no policy judged", "no UTF-8", "taken out", "was not kept")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a socket fails the test."""

    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("a replay opened a socket")

    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setattr(socket, "create_connection", refused)


@pytest.fixture(scope="module")
def traffic() -> list[Recorded]:
    """The same every time; ``benchmarks.replay_million`` goes on with it for a million."""
    found = (exchange(number) for number in range(EXCHANGES))
    return [one for one in found if one is not None]


def test_every_decision_of_the_same_engine_is_reproduced(traffic: list[Recorded]) -> None:
    served: set[tuple[str, str]] = set()
    for one in traffic:
        found = again(one)
        if found.result == "not_reproducible":
            assert any(excuse in found.missing[0] for excuse in EXCUSED), (one.number, found)
            continue
        assert (found.result, found.differences) == ("same", ()), one.number
        assert found.same_engine
        served.add((one.event.dialect, found.chunking))
    streams = {"openai.chat", "openai.responses", "anthropic.messages", "mcp"}
    assert {dialect for dialect, chunking in served if chunking == "recorded"} == streams


@pytest.mark.parametrize("number", [58737, 63267, 197906, 202549, 235303, 294007])
def test_an_answer_that_is_masked_is_missing_where_it_broke_off_too(number: int) -> None:
    one = exchange(number)
    assert one is not None
    found = again(one)
    assert (found.result, found.differences) == ("not_reproducible", ())
    assert any(excuse in found.missing[0] for excuse in ("masked", "taken out"))


@pytest.mark.parametrize("number", [40238, 115199, 183844, 322345, 328976, 365350, 679244])
def test_an_exchange_that_was_left_ends_where_it_ended(number: int) -> None:
    one = exchange(number)
    assert one is not None
    assert one.event.unfinished is not None
    assert again(one).result == "same"


@pytest.mark.parametrize("number", [101335, 109793])
def test_frames_beside_an_answer_keep_their_place_in_its_stream(number: int) -> None:
    one = exchange(number)
    assert one is not None
    found = again(one)
    assert (found.result, found.chunking) == ("same", "recorded")


@pytest.mark.parametrize("number", [100510, 107684, 119109])
def test_an_answer_of_a_server_that_nobody_judged_is_not_needed(number: int) -> None:
    one = exchange(number)
    assert one is not None
    assert one.event.response_bytes > len(one.event.payload.response) == 0
    assert again(one).result == "same"


@pytest.mark.parametrize("number", [7545, 8904])
def test_an_exchange_whose_record_failed_is_judged_again(number: int) -> None:
    one = exchange(number)
    assert one is not None
    assert one.event.error == "evidence_unavailable"
    assert again(one).result == "same"


def test_what_would_have_been_read_of_an_answer_is_missing_if_it_was_left_only_then() -> None:
    one = exchange(166828)
    assert one is not None
    assert "no UTF-8" in again(one).missing[0]


def test_full_payloads_leave_nothing_masked(traffic: list[Recorded]) -> None:
    for one in traffic:
        if one.judge.config.gateway.payload == "full":
            assert not any("masked" in missing for missing in again(one).missing), one.number


def test_the_traffic_has_everything_in_it(traffic: list[Recorded]) -> None:
    events = [one.event for one in traffic]
    assert {event.verdict.value for event in events} == {
        "allow",
        "flag",
        "transform",
        "redact",
        "escalate",
        "quarantine",
        "block",
    }
    assert {event.status.value for event in events} >= {
        "answered",
        "blocked",
        "upstream_failed",
        "stream_broken",
        "client_aborted",
        "rejected",
    }
    assert any(event.attempts for event in events)
    assert any(event.containments for event in events)
    assert any(event.approval for event in events)
    assert any(event.reason_code == "quarantine.in_force" for event in events)
    assert any(event.facts and event.facts.remote for event in events)


def test_across_an_engine_change_exactly_those_that_differ_are_named(
    traffic: list[Recorded],
) -> None:
    # A detector that learnt a term: what it finds now is known beforehand.
    lean = next(one for one in judges() if one.config.pack.name == "traffic-lean-full")
    newer = judge_of(lean.config.source.replace("[aubergine]", "[aubergine, bowls]"))
    assert newer.revision != lean.revision
    judged = differing = 0
    for one in traffic:
        if one.judge is not lean:
            continue
        own = again(one)
        found = _by(one, newer)
        if "not_reproducible" in (own.result, found.result):
            continue
        judged += 1
        assert own.same_engine
        assert not found.same_engine
        told = " ".join(each.why for each in found.differences)
        learnt = "term_2" in told
        assert (found.result == "differs") is learnt, one.number
        differing += learnt
    assert judged > differing > 5


def test_across_a_changed_detector_exactly_those_that_differ_are_named(
    traffic: list[Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    lean = next(one for one in judges() if one.config.pack.name == "traffic-lean-full")
    kind = KINDS["pii-detector"]

    def blind(options: Any, phase: Phase) -> Rule:
        return kind.build(msgspec.structs.replace(options, exclude_entities=("email",)), phase)

    # Another release: the same configuration, and a detector that finds no addresses any more.
    released = msgspec.structs.replace(
        kind, detector_version=kind.detector_version + 1, build=blind
    )
    with monkeypatch.context() as release:
        release.setitem(vars(KINDS)["_loaded"], kind.name, released)
        newer = judge_of(lean.config.source)
    assert newer.revision != lean.revision
    judged = differing = 0
    for one in traffic:
        if one.judge is not lean:
            continue
        found = _by(one, newer)
        if "not_reproducible" in (again(one).result, found.result):
            continue
        judged += 1
        rules = {
            finding.rule
            for evaluation in one.event.evaluations
            if evaluation.policy_name == kind.name
            for finding in evaluation.findings
        }
        assert not found.same_engine
        assert (found.result == "differs") is ("email" in rules), one.number
        differing += found.result == "differs"
    assert judged > differing > 3


def _by(one: Recorded, judge: Any) -> Replayed:
    return replay(
        one.event,
        one.event.payload,
        judge.in_force,
        revision=judge.revision,
        contained=one.contained,
        recorded_by=one.judge.config,
    )
