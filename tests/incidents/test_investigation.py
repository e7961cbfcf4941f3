"""Hypotheses, what changed before the onset, what controls did, and how far it reaches."""

from __future__ import annotations

from datetime import timedelta

import pytest

from kintsugi.errors import Blocked, InvalidInput
from kintsugi.incidents import hypotheses
from kintsugi.incidents.blast import blast_radius, call_in, records_in
from kintsugi.incidents.controls import controls_of
from kintsugi.incidents.correlation import Candidate, from_traffic, ranked
from kintsugi.incidents.gates import gates_of
from kintsugi.incidents.judgement import explained
from kintsugi.incidents.repair import settling_of
from kintsugi.incidents.signature import Signature, suggested
from kintsugi.model.reach import DIMENSIONS, Extent, Judged, Named, Spread, Traffic
from kintsugi.model.span import Span, Step
from tests.control_plane import blocked_event, make_event
from tests.incidents.cases import FROZEN, NOON, act, incident

HOUR = timedelta(hours=1)


def extent(events: int, **named: tuple[Named, ...]) -> Extent:
    spreads = tuple(
        Spread(one, len(named.get(one, ())), 0, named.get(one, ())) for one in DIMENSIONS
    )
    return Extent(events, NOON, NOON, spreads)


def test_a_hypothesis_needs_support_to_be_confirmed() -> None:
    found = hypotheses.proposed(incident(), "the index is stale", act()).incident
    with pytest.raises(Blocked) as error:
        hypotheses.settled(found, 1, "confirmed", act(reason=""))
    assert {one.code for one in error.value.blockers} == {"reason", "support"}
    found = hypotheses.linked(found, 1, "event:1", "contradicts", act()).incident
    with pytest.raises(Blocked, match="supports H1"):
        hypotheses.settled(found, 1, "confirmed", act())
    found = hypotheses.linked(found, 1, "event:2", "supports", act()).incident
    found = hypotheses.settled(found, 1, "confirmed", act()).incident
    assert [one.stance for one in found.hypotheses[0].links] == ["contradicts", "supports"]
    again = hypotheses.settled(found, 1, "open", act()).incident
    assert (again.hypotheses[0].state, again.hypotheses[0].settled_at) == ("open", None)
    with pytest.raises(InvalidInput, match="there are: H1"):
        hypotheses.linked(found, 2, "event:1", "supports", act())


def test_a_cause_rests_on_evidence_and_on_what_was_not_rejected() -> None:
    found = hypotheses.proposed(incident(), "the index is stale", act()).incident
    resting = explained(found, "mechanism", "no dropping", "potential", act(), hypotheses=[1])
    with pytest.raises(Blocked, match="mechanism"):
        hypotheses.settled(resting.incident, 1, "rejected", act())
    rejected = hypotheses.settled(found, 1, "rejected", act()).incident
    with pytest.raises(InvalidInput, match="H1 was rejected"):
        explained(rejected, "mechanism", "no dropping", "potential", act(), hypotheses=[1])


def test_the_cause_gate_asks_what_each_part_rests_on() -> None:
    found = explained(incident(), "trigger", "a stale page", "known", act()).incident
    found = explained(found, "mechanism", "never dropped", "potential", act()).incident
    [gate] = [one for one in gates_of(found, FROZEN, now=NOON) if one.gate == "cause"]
    assert "the cause says it knows the trigger, and names no evidence of it" in gate.missing
    assert "the cause names no evidence and no hypothesis for: mechanism" in gate.missing


def test_a_change_that_affected_traffic_has_and_the_rest_has_not_is_first() -> None:
    traffic = [
        Traffic("configuration", "p@3", 0, 900, NOON - 20 * HOUR),
        Traffic("configuration", "p@4", 100, 100, NOON - HOUR / 2),
        Traffic("model", "old", 60, 600, NOON - 24 * HOUR),
        Traffic("model", "new", 40, 400, NOON - HOUR / 4),
    ]
    candidates = [
        Candidate("configuration", "p@4", NOON - HOUR, "configuration p@4", "bo", "p@4"),
        Candidate("containment", "stop", NOON - 5 * HOUR, "containment"),
        Candidate("deploy", "later", NOON + HOUR, "a report"),
        *from_traffic(traffic, since=NOON - 24 * HOUR),
    ]
    found = ranked(candidates, traffic, NOON)
    assert [one.change.name for one in found] == ["p@4", "new", "stop", "p@3"]
    first, second, *_ = found
    assert (first.change.told_by, first.lift, first.affected_share) == ("configuration p@4", 10, 1)
    assert (
        first.why == "60 min before the onset; 100% of affected events have it, 10% of the others"
    )
    assert second.lift == 1
    assert (found[2].lift, found[3].lift) == (None, 0)


def test_controls_say_what_they_did_in_the_order_of_an_exchange() -> None:
    judged = [
        Judged("dlp-filter", "output", "enforce", "matched", "block", 3),
        Judged("prompt-injection", "input", "enforce", "clear", "pass", 10),
        Judged("pii-detector", "input", "monitor", "matched", "flag", 4),
        Judged("rbac", "route", "enforce", "skipped", "skipped", 10),
        Judged("custom", "tool", "enforce", "error", "error", 1),
    ]
    blocked = (Named("allowed", 7, NOON, NOON), Named("blocked", 3, NOON, NOON))
    found = controls_of(judged, extent(10, verdict=blocked))
    assert [(one.policy, one.word) for one in found.controls] == [
        ("rbac", "did not run"),
        ("pii-detector", "only watched"),
        ("prompt-injection", "let pass"),
        ("custom", "failed"),
        ("dlp-filter", "caught"),
    ]
    assert found.caught_in == {"output": 3}
    assert found.went_through == 7


def test_a_radius_says_why_it_is_a_lower_bound() -> None:
    found = blast_radius(
        extent(2), [], 5, {("record", "open"): 1, ("user", "told"): 2}, NOON - HOUR
    )
    assert not found.exact
    assert found.known_since == NOON - HOUR
    assert found.reasons == (
        "no evidence is frozen: only what was tied by hand is counted",
        "5 events came after their window was frozen: freeze it again",
        "it is said to have begun before the first of these events",
    )
    assert (found.records, found.people) == ({"open": 1}, {"told": 2})


def test_a_step_that_names_no_record_stands_for_what_it_changed() -> None:
    write = Span("a" * 32, "b" * 16, "save", Step.WRITE, NOON, NOON, service="crm")
    [one] = records_in(write, "i", found_by="freeze:1", now=NOON)
    assert one.key == f"crm/trace:{'a' * 32}/{'b' * 16}"
    read = Span("a" * 32, "b" * 16, "look", Step.TOOL, NOON, NOON)
    assert records_in(read, "i", found_by="freeze:1", now=NOON) == []
    called = make_event(mcp_method="tools/call", tool_name="refund")
    told = call_in(called, "i", found_by="freeze:1", now=NOON)
    assert told is not None
    assert told.system == "refund"
    stopped = blocked_event(mcp_method="tools/call", tool_name="refund")
    assert call_in(stopped, "i", found_by="freeze:1", now=NOON) is None


def test_a_signature_is_what_most_events_share() -> None:
    assert suggested([make_event(1)]) == Signature()
    found = suggested([make_event(1), blocked_event(2), blocked_event(3)])
    assert found == Signature("prompt-injection", "prompt_injection.detected", "9f86d081884c7d65")
    assert found.matches(blocked_event(4))
    assert not found.matches(make_event(5))
    with pytest.raises(InvalidInput, match="needs a policy"):
        Signature(fingerprint="9f86d081884c7d65").where()
    assert (
        Signature(tool="refund", document="kb 7", text="late").where().q == 'late "refund" "kb 7"'
    )


def test_everything_missing_of_a_repair_is_told_at_once() -> None:
    with pytest.raises(Blocked) as error:
        settling_of(incident(), "user", ["ada"], "told", act(), channel=" ")
    assert {one.code for one in error.value.blockers} == {"channel"}
    with pytest.raises(Blocked, match="reason"):
        settling_of(incident(), "record", ["crm/1"], "accepted", act(reason=""))
    with pytest.raises(InvalidInput, match="of a record"):
        settling_of(incident(), "record", ["crm/1"], "told", act())
