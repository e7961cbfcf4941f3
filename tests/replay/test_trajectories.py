"""Exchanges into finished runs: each message once, successes and failures told apart, with why."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.model.event import DecisionEvent, ExchangeStatus, Payload, ToolFailure, UsedApproval
from kintsugi.model.trajectory import SCHEMA, Trajectory, TrajectoryRules
from kintsugi.model.verdict import Verdict
from kintsugi.replay import trajectories as module
from kintsugi.replay.trajectories import Runs, trajectories
from tests.control_plane import NOON, make_event

Json = dict[str, Any]
SYSTEM: Json = {"role": "system", "content": "Be kind."}
CALL: Json = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {
            "id": "c1",
            "type": "function",
            "function": {"name": "terminal", "arguments": '{"command":"ls"}'},
        }
    ],
}
TOOLS = [{"type": "function", "function": {"name": "terminal", "parameters": {}}}]


def user(text: str) -> Json:
    return {"role": "user", "content": text}


def said(text: str) -> Json:
    return {"role": "assistant", "content": text}


def result(text: str, call: str = "c1") -> Json:
    return {"role": "tool", "tool_call_id": call, "content": text}


def exchange(
    number: int,
    messages: list[Json],
    answer: Json | None = None,
    *,
    session: str = "s1",
    tools: bool = False,
    **changes: Any,
) -> DecisionEvent:
    body: Json = {"model": "m", "messages": messages}
    if tools:
        body["tools"] = TOOLS
    choice = {"index": 0, "message": answer, "finish_reason": "stop"}
    response = json.dumps({"model": "m", "choices": [choice]}) if answer else ""
    payload = Payload(request=json.dumps(body), response=response)
    values = {"session_id": session, "model": "m", "payload": payload, **changes}
    return make_event(number, **values)


def only(found: list[Trajectory]) -> Trajectory:
    (one,) = found
    return one


def test_a_conversation_holds_each_message_once() -> None:
    first = [SYSTEM, user("Hi")]
    second = [*first, said("Hello"), user("Bye")]
    told = only(
        trajectories([exchange(1, first, said("Hello")), exchange(2, second, said("Ciao"))])
    )
    assert [(turn.sender, turn.value) for turn in told.conversations] == [
        ("system", "Be kind."),
        ("human", "Hi"),
        ("gpt", "Hello"),
        ("human", "Bye"),
        ("gpt", "Ciao"),
    ]
    assert told.completed
    assert (told.run, told.subject, told.model) == ("session", "s1", "m")
    assert [one.messages for one in told.exchanges] == [3, 2]
    assert told.exchanges[0].config_version == "support-prod@3"


def test_a_trajectory_reads_as_sharegpt_on_the_wire() -> None:
    told = only(trajectories([exchange(1, [user("Hi")], said("Hello"))]))
    line = json.loads(msgspec.json.encode(told))
    assert line["conversations"] == [
        {"from": "human", "value": "Hi"},
        {"from": "gpt", "value": "Hello"},
    ]
    assert line["completed"] is True
    assert line["schema"] == SCHEMA
    assert line["exchanges"][0]["event_id"] == line["id"]
    assert msgspec.json.decode(msgspec.json.encode(told), type=Trajectory) == told


def test_said_again_is_not_said_once() -> None:
    told = only(
        trajectories(
            [
                exchange(1, [user("Hi")], said("Hi")),
                exchange(2, [user("Hi"), said("Hi"), user("Hi")], said("Hi")),
            ]
        )
    )
    assert [turn.sender for turn in told.conversations] == ["human", "gpt", "human", "gpt"]


def test_a_tool_that_failed_is_marked_and_makes_a_failure_unless_it_recovered() -> None:
    failure = ToolFailure("terminal", "exit", "exit 2", "/messages/2/content")
    asked = [user("List"), CALL, result("No such file")]
    events = [
        exchange(1, [user("List")], CALL, tools=True),
        exchange(2, asked, CALL, tools=True, tool_failures=(failure,)),
    ]
    told = only(trajectories(events))
    assert told.tools == ("terminal",)
    assert not told.completed
    assert told.failures == (f"tool: terminal (exit, exit 2) in {events[1].id}",)
    turns = told.conversations
    assert [turn.sender for turn in turns] == ["human", "gpt", "tool", "gpt"]
    assert turns[1].value.startswith('<tool_call>\n{"name": "terminal", "arguments": {"command"')
    assert turns[2].value.startswith('<tool_response>\n{"name": "terminal"')
    assert turns[2].tool_failure == failure
    again = [*asked, CALL, result("a b c")]
    recovered = only(
        trajectories([*events, exchange(3, again, said("Done"), tool_failures=(failure,))])
    )
    assert recovered.completed
    assert [m.recovered for m in recovered.messages if m.tool_failure] == [True]
    strict = TrajectoryRules(fail_on=("any-tool",))
    assert not only(trajectories([*events, exchange(3, again, said("Done"))], strict)).completed


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"status": ExchangeStatus.UPSTREAM_FAILED, "http_status": 502}, "outcome"),
        ({"http_status": 500}, "outcome"),
        ({"verdict": Verdict.BLOCK, "status": ExchangeStatus.BLOCKED}, "outcome"),
        ({"verdict": Verdict.QUARANTINE}, "verdict"),
    ],
)
def test_how_it_ended_decides_and_says_why(changes: Json, why: str) -> None:
    event = exchange(1, [user("Hi")], **changes)
    told = only(trajectories([event]))
    assert not told.completed
    assert told.failures[0].startswith(f"{why}: ")
    assert event.id in told.failures[0]
    assert only(trajectories([event], TrajectoryRules(fail_on=()))).completed


def test_a_stop_that_was_approved_later_is_no_failure() -> None:
    stopped = exchange(1, [user("Pay")], verdict=Verdict.ESCALATE, http_status=409)
    assert not only(trajectories([stopped])).completed
    let_go = exchange(2, [user("Pay")], said("Paid"), approval=UsedApproval(stopped.id, "rita"))
    assert only(trajectories([stopped, let_go])).completed


def test_a_pause_ends_a_run_and_sessions_do_not_mix() -> None:
    events = [
        exchange(0, [user("a")], said("b")),
        exchange(10, [user("x")], said("y"), session="s2"),
        exchange(3600, [user("c")], said("d")),
    ]
    found = trajectories(events, TrajectoryRules(idle_seconds=600))
    assert [(one.subject, len(one.exchanges)) for one in found] == [("s1", 1), ("s2", 1), ("s1", 1)]
    assert len(trajectories(events, TrajectoryRules(idle_seconds=7200))) == 2


def test_without_a_session_the_trace_is_the_run_and_without_both_the_exchange() -> None:
    events = [
        exchange(1, [user("a")], session="", trace_id="t1"),
        exchange(2, [user("b")], session="", trace_id="t1"),
        exchange(3, [user("c")], session=""),
    ]
    found = trajectories(events)
    assert [(one.run, len(one.exchanges)) for one in found] == [("trace", 2), ("exchange", 1)]


def test_a_run_is_over_only_after_its_idle_time() -> None:
    runs = Runs(TrajectoryRules(idle_seconds=60))
    assert list(runs.add(exchange(0, [user("a")]))) == []
    over, open_still = runs.finish(NOON + timedelta(seconds=59))
    assert (over, open_still) == ([], [NOON])
    over, open_still = runs.finish(NOON + timedelta(seconds=60))
    assert (len(over), open_still) == (1, [])


def test_a_run_at_the_edge_of_what_was_looked_at_says_so() -> None:
    runs = Runs(TrajectoryRules(idle_seconds=60), began_at=NOON)
    list(runs.add(exchange(10, [user("a")])))
    list(runs.add(exchange(100, [user("b")], session="s2")))
    over, _ = runs.finish(NOON + timedelta(days=1))
    assert [one.begins_earlier for one in over] == [False]
    runs = Runs(TrajectoryRules(idle_seconds=60), began_at=NOON)
    list(runs.add(exchange(10, [user("a")])))
    assert runs.finish(NOON + timedelta(days=1))[0][0].begins_earlier


def test_a_run_without_end_is_told_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXCHANGES_MAX", 3)
    found = trajectories([exchange(n, [user(str(n))]) for n in range(7)])
    assert [len(one.exchanges) for one in found] == [3, 3, 1]
    assert [one.begins_earlier for one in found] == [False, True, True]


def test_a_call_to_an_mcp_server_is_part_of_the_run() -> None:
    event = make_event(
        1,
        dialect="mcp",
        session_id="s1",
        mcp_method="tools/call",
        tool_name="refund",
        tool_failures=(ToolFailure("refund", "error", path="/result/content/0/text"),),
        payload=Payload(
            request='{"jsonrpc":"2.0","method":"tools/call","params":{"name":"refund",'
            '"arguments":{"order":7}}}',
            response='{"jsonrpc":"2.0","result":{"isError":true,"content":[]}}',
        ),
    )
    told = only(trajectories([event]))
    assert [message.kind for message in told.messages] == ["tool_call", "tool_result"]
    assert '{"order": 7}' in told.conversations[0].value
    assert told.conversations[1].tool_failure is not None
    assert not told.completed


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (Payload(), "no text was recorded"),
        (Payload(request='{"mess', truncated=True), "cut short"),
        (Payload(request="{}"), "request:"),
        (
            Payload(
                request='{"model":"m","messages":[{"role":"user","content":"x"}]}', response="{"
            ),
            "answer:",
        ),
    ],
)
def test_what_cannot_be_read_is_said_and_the_exchange_still_counts(
    payload: Payload, why: str
) -> None:
    told = only(trajectories([exchange(1, [user("a")], payload=payload)]))
    assert why in told.exchanges[0].unread
    assert told.exchanges[0].request_digest


def test_half_a_character_in_a_recorded_text_breaks_nothing() -> None:
    call = "half \ud800"
    event = exchange(1, [user("a")])
    body = json.dumps({"model": "m", "messages": [user(call)]}, ensure_ascii=False)
    told = only(trajectories([msgspec.structs.replace(event, payload=Payload(request=body))]))
    assert told.conversations or told.exchanges[0].unread


@given(
    st.lists(
        st.tuples(st.sampled_from(["s1", "s2", ""]), st.integers(0, 5000), st.booleans()),
        max_size=12,
    )
)
def test_every_exchange_is_in_exactly_one_run(told: list[tuple[str, int, bool]]) -> None:
    events = [
        exchange(
            n,
            [user(str(n))],
            said("x") if answered else None,
            session=session,
            at=NOON + timedelta(seconds=seconds),
        )
        for n, (session, seconds, answered) in enumerate(told)
    ]
    found = trajectories(events, TrajectoryRules(idle_seconds=600))
    ids = [one.event_id for run in found for one in run.exchanges]
    assert sorted(ids) == sorted(event.id for event in events)
    for run in found:
        assert run.started_at <= run.timestamp
        assert run.completed == (not run.failures)
