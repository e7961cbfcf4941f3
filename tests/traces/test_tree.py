"""The tree of a trace: every step once, parents first, whatever the parents say."""

from __future__ import annotations

from datetime import timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.model.decision import Phase
from kintsugi.model.event import Attempt, RaisedEscalation, UsedApproval
from kintsugi.model.oversight import Escalation, escalation_of
from kintsugi.model.span import Span, Step
from kintsugi.model.verdict import Verdict
from kintsugi.traces.tree import TraceNode, trace_tree
from tests.control_plane import NOON, make_event

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def span(number: int, parent: int = 0, *, after: float = 0.0) -> Span:
    at = NOON + timedelta(seconds=after or number)
    return Span(
        trace_id=TRACE,
        span_id=f"{number:016x}",
        parent_span_id=f"{parent:016x}" if parent else "",
        name=f"step {number}",
        step=Step.OTHER,
        started_at=at,
        ended_at=at + timedelta(seconds=1),
        service="shop",
    )


def outline(nodes: tuple[TraceNode, ...]) -> list[tuple[int, str]]:
    return [(node.depth, node.name) for node in nodes]


def test_steps_stand_below_their_parents_in_the_order_of_time() -> None:
    decision = make_event(1, trace_id=TRACE, parent_span_id=span(2).span_id)
    nodes = trace_tree([decision], [span(3, 1, after=9), span(1), span(2, 1)])
    assert outline(nodes) == [
        (0, "step 1"),
        (1, "step 2"),
        (2, "openai.chat sim-echo"),
        (1, "step 3"),
    ]
    assert nodes[2].verdict is Verdict.ALLOW
    assert nodes[2].source == "decision"


def test_a_parent_that_nobody_reported_stands_as_missing_above_all_its_children() -> None:
    decision = make_event(4, trace_id=TRACE, parent_span_id="00000000000000ff")
    nodes = trace_tree([decision], [span(5, 0xFF), span(1)])
    assert [node.source for node in nodes] == ["span", "missing", "decision", "span"]
    assert nodes[1].id == "00000000000000ff"
    assert nodes[1].at == decision.timestamp
    assert [node.depth for node in nodes] == [0, 0, 1, 1]


def test_what_happened_inside_a_decision_stands_below_it() -> None:
    event = make_event(
        trace_id=TRACE,
        verdict=Verdict.ESCALATE,
        attempts=(
            Attempt("first", 1.0, 5.0, error="upstream.timeout"),
            Attempt("b", 7.0, 2.0, 200),
        ),
        approval=UsedApproval("e-0", "rita", NOON),
    )
    raised = RaisedEscalation(event.id, Phase.INPUT, "sha256:1", NOON + timedelta(hours=1))
    event = msgspec.structs.replace(event, escalation=raised)
    report = escalation_of(event)
    assert report is not None
    resolved = Escalation(report, "rejected", resolved_by="rita", resolved_at=NOON)
    nodes = trace_tree([event], [], {event.id: resolved})
    assert {(node.source, node.status, node.where) for node in nodes[1:]} == {
        ("attempt", "upstream.timeout", "first"),
        ("attempt", "200", "b"),
        ("review", "rejected", "rita"),
        ("review", "approved", "rita"),
    }
    assert {node.depth for node in nodes[1:]} == {1}


def test_a_ring_of_parents_is_cut_where_it_begins() -> None:
    nodes = trace_tree([], [span(1, 3), span(2, 1), span(3, 2), span(4, 4), span(5)])
    assert outline(nodes) == [
        (0, "step 5"),
        (0, "step 1"),
        (1, "step 2"),
        (2, "step 3"),
        (0, "step 4"),
    ]
    assert [bool(node.note) for node in nodes] == [False, True, False, False, True]


def test_a_long_chain_is_walked_without_recursion() -> None:
    chain = [span(n, n - 1) for n in range(1, 5001)]
    assert trace_tree([], chain)[-1].depth == 4999


@given(st.lists(st.integers(0, 12), max_size=12))
def test_every_step_appears_once_and_one_level_below_its_parent(parents: list[int]) -> None:
    spans = [span(n, parent) for n, parent in enumerate(parents, start=1)]
    nodes = trace_tree([], spans)
    assert sorted(n.id for n in nodes if n.source == "span") == [s.span_id for s in spans]
    depth = {node.id: node.depth for node in nodes}
    for node in nodes:
        assert node.depth == 0 if node.note.startswith("its") else True
        if node.parent_id and not node.note:
            assert node.depth == depth[node.parent_id] + 1
