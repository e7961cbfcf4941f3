"""What is held of the evidence that a decision must leave: never guessed, a line for each."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.ledger.completeness import completeness
from kintsugi.model.decision import Phase
from kintsugi.model.event import ExchangeStatus, Payload, RaisedEscalation
from kintsugi.model.evidence import Evidence, State
from kintsugi.model.span import Held, Span, Step
from kintsugi.model.verdict import Verdict
from tests.control_plane import NOON, blocked_event, evaluation, make_event

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALL = '{"choices":[{"message":{"role":"assistant","tool_calls":[{"id":"c1"}]}}]}'
RESULT = '{"messages":[{"role":"tool","tool_call_id":"c1","content":"sunny"}],"tools":[{}]}'


def span(number: int, step: Step, parent: str = "", *holds: Held, **attributes: Any) -> Span:
    return Span(
        trace_id=TRACE,
        span_id=f"{number:016x}",
        parent_span_id=parent,
        name=step.value,
        step=step,
        started_at=NOON + timedelta(seconds=number),
        ended_at=NOON + timedelta(seconds=number + 1),
        holds=holds,
        attributes={name.replace("__", "."): value for name, value in attributes.items()},
    )


def by_key(table: tuple[Evidence, ...]) -> dict[str, Evidence]:
    return {line.key: line for line in table}


def test_of_nothing_nothing_is_seen() -> None:
    table = completeness([])
    assert len(table) == 13
    assert {line.state for line in table} == {State.NONE_SEEN}


def test_one_plain_decision_says_what_it_holds_and_what_it_lacks() -> None:
    table = by_key(completeness([make_event()], configurations=["support-prod@3"]))
    assert table["request"].state is State.HELD
    assert table["configuration"].held == (
        "version",
        "text of the configuration",
        "results of rules",
    )
    assert table["prompt"].missing == ("prompt version",)
    assert table["joins"].missing == ("trace ids",)
    assert table["model"].state is State.HELD
    for key in ("retrieval", "tools", "review", "writes", "permissions"):
        assert table[key].state is State.NONE_SEEN


def test_a_configuration_without_its_text_and_a_request_that_was_not_recorded_are_missing() -> None:
    events = [make_event(), make_event(1, payload=Payload())]
    table = by_key(completeness(events))
    assert table["configuration"].missing == ("text of the configuration",)
    assert table["request"].state is State.PARTIAL
    assert table["request"].missing == ("request (1 of 2)",)
    cut = make_event(payload=Payload(request='{"mess', truncated=True))
    assert by_key(completeness([cut]))["request"].state is State.MISSING


def test_a_blocked_request_needs_no_provider_and_no_answer() -> None:
    table = by_key(completeness([blocked_event(provider="")]))
    assert "provider" not in table["model"].missing
    assert table["outcome"].state is State.HELD


def test_a_tool_call_is_counted_once_however_many_tell_of_it() -> None:
    events = [
        make_event(0, payload=Payload(request=RESULT.replace("tool_call_id", "x"), response=CALL)),
        make_event(1, payload=Payload(request=RESULT, response="{}")),
    ]
    assert by_key(completeness(events))["tools"].state is State.HELD
    told = [span(1, Step.TOOL)]
    assert by_key(completeness(events, told))["tools"].state is State.HELD
    unanswered = by_key(completeness(events[:1], told))["tools"]
    assert (unanswered.state, unanswered.missing) == (State.PARTIAL, ("responses",))


def test_a_prompt_cannot_pretend_that_a_tool_was_called() -> None:
    quoted = msgspec.json.encode({"messages": [{"role": "user", "content": RESULT}]}).decode()
    event = make_event(payload=Payload(request=quoted, response="{}"))
    assert by_key(completeness([event]))["tools"].state is State.NONE_SEEN


def test_a_review_is_whole_when_its_outcome_is_at_hand() -> None:
    event = make_event(
        verdict=Verdict.ESCALATE,
        escalation=RaisedEscalation("", Phase.INPUT, "sha256:1", NOON),
    )
    assert by_key(completeness([event]))["review"].missing == ("their outcome",)
    assert by_key(completeness([event], resolved=[event.id]))["review"].state is State.HELD


def test_reported_steps_fill_what_no_gateway_can_see() -> None:
    root = span(1, Step.AGENT)
    spans = [
        root,
        span(2, Step.RETRIEVAL, root.span_id, "documents", "document_scores", "retrieval_query"),
        span(3, Step.APPROVAL, root.span_id, kintsugi__approval__decision="approved"),
        span(4, Step.WRITE, root.span_id, kintsugi__records=["order/7"]),
    ]
    event = make_event(trace_id=TRACE, parent_span_id=root.span_id)
    table = by_key(completeness([event], spans))
    assert table["retrieval"].missing == ("freshness",)
    assert table["review"].state is State.HELD
    assert table["writes"].state is State.HELD
    assert table["affected"].state is State.HELD
    assert table["joins"].state is State.HELD
    assert "business event (root span)" in table["request"].held


def test_a_retrieval_of_which_nothing_was_told_is_missing_beside_a_request_that_is_held() -> None:
    table = by_key(completeness([make_event()], [span(1, Step.RETRIEVAL)]))
    assert table["request"].held == ("request", "business event (root span)")
    assert table["retrieval"].state is State.MISSING


def test_a_parent_that_nobody_reported_is_missing() -> None:
    event = make_event(trace_id=TRACE, parent_span_id="00f067aa0ba902b7")
    table = by_key(completeness([event], []))
    assert table["joins"].missing == ("parent steps",)
    assert table["request"].missing == ("business event (root span)",)


def test_a_call_past_the_gateway_is_judged_by_what_its_span_holds() -> None:
    table = by_key(completeness([], [span(1, Step.MODEL, "", gen_ai__request__model="m")]))
    assert table["model"].missing == ("provider", "settings")
    assert table["request"].held == ("business event (root span)",)
    assert table["prompt"].state is State.MISSING


def test_permission_checks_are_policies_that_ran_or_steps_that_were_told() -> None:
    judged = make_event(evaluations=(evaluation("rbac", Phase.TOOL),))
    assert by_key(completeness([judged]))["permissions"].state is State.HELD
    skipped = make_event(evaluations=(evaluation("rbac", Phase.TOOL, outcome="skipped"),))
    assert by_key(completeness([skipped]))["permissions"].state is State.NONE_SEEN


@given(
    st.lists(st.sampled_from(ExchangeStatus), max_size=4),
    st.lists(st.tuples(st.sampled_from(Step), st.booleans()), max_size=6),
    st.sampled_from(["", "{", "[]", '{"tools":[]}', RESULT, CALL, "null"]),
)
def test_every_table_has_each_line_once_and_its_state_follows_from_its_parts(
    statuses: list[ExchangeStatus], steps: list[tuple[Step, bool]], text: str
) -> None:
    payload = Payload(request=text, response=text)
    events = [make_event(n, status=one, payload=payload) for n, one in enumerate(statuses)]
    spans = [
        span(n, step, f"{n - 1:016x}" if child else "", "tool_arguments", "documents")
        for n, (step, child) in enumerate(steps, 1)
    ]
    table = completeness(events, spans)
    assert len({line.key for line in table}) == 13
    for line in table:
        expected = {
            (True, False): State.HELD,
            (True, True): State.PARTIAL,
            (False, True): State.MISSING,
            (False, False): State.NONE_SEEN,
        }[bool(line.held), bool(line.missing)]
        assert line.state is expected
