"""What only traffic tells: prompts, how tools are declared, and how fresh sources are; and that a
change of it is found."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from kintsugi.incidents.correlation import from_parts
from kintsugi.model.event import Payload
from kintsugi.model.seen_parts import SeenKind, of_events, of_spans
from kintsugi.model.workflow import SeenPart
from tests.control_plane import NOON, make_event

TOOL = {"type": "function", "function": {"name": "pay", "parameters": {"type": "object"}}}


def told(**request: Any) -> dict[tuple[SeenKind, str], str]:
    payload = Payload(request=json.dumps(request))
    [sighting] = of_events([make_event(workflow="triage", payload=payload)])
    return {(kind, name): version for kind, name, version in sighting.parts}


def prompt(**request: Any) -> str:
    return told(**request).get(("instructions", "system prompt"), "")


@pytest.mark.parametrize(
    "request_",
    [
        {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "a"}]},
        {"messages": [{"role": "developer", "content": [{"type": "text", "text": "Be kind."}]}]},
        {"instructions": "Be kind.", "input": "hello"},
        {"input": [{"role": "developer", "content": "Be kind."}]},
        {"system": "Be kind.", "messages": [{"role": "user", "content": "a"}]},
        {"system": [{"type": "text", "text": "Be kind."}], "messages": []},
    ],
)
def test_instructions_are_told_in_every_dialect(request_: dict[str, Any]) -> None:
    found = prompt(**request_)
    assert len(found) == 16
    assert prompt(**json.loads(json.dumps(request_).replace("kind", "curt"))) not in ("", found)


def test_a_date_in_a_prompt_is_no_other_prompt() -> None:
    assert prompt(system="Today is 2026-11-20.") == prompt(system="Today is 2026-11-21.")


@pytest.mark.parametrize(
    "request_",
    [
        {"messages": [{"role": "user", "content": 'what does "system" mean'}]},
        {"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "late"}]},
        {"instructions": None, "input": "hello"},
        {"system": "", "messages": 7},
    ],
)
def test_where_there_are_none_nothing_is_told(request_: dict[str, Any]) -> None:
    assert prompt(**request_) == ""


def test_tools_are_told_by_how_they_are_declared() -> None:
    before = told(tools=[TOOL])
    after = told(tools=[json.loads(json.dumps(TOOL).replace("object", "array"))])
    assert before["tool", "pay"] == after["tool", "pay"] == ""
    assert before["tool_schema", "pay"] != after["tool_schema", "pay"]


def test_tools_that_an_mcp_server_lists_are_told() -> None:
    listed = {"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": "pay", "inputSchema": {}}]}}
    event = make_event(
        workflow="triage",
        model="",
        target_id="bank",
        mcp_method="tools/list",
        payload=Payload(response=json.dumps(listed)),
    )
    [sighting] = of_events([event])
    assert [(kind, name) for kind, name, _ in sighting.parts] == [("tool_schema", "bank/pay")]


def test_spans_tell_as_of_when_a_source_is() -> None:
    attributes = {
        "gen_ai.workflow.name": "triage",
        "gen_ai.data_source.id": "wiki",
        "kintsugi.retrieval.fresh_as_of": "2026-11-20",
    }
    [sighting] = of_spans([(NOON, attributes)])
    assert ("source_state", "wiki", "2026-11-20") in sighting.parts


def part(kind: SeenKind, name: str, version: str, minutes: int) -> SeenPart:
    at = NOON + timedelta(minutes=minutes)
    return SeenPart(kind, name, version, at, at, 1, named=True)


def test_a_change_is_what_was_another_before() -> None:
    parts = [
        part("instructions", "system prompt", "bbbb", 50),
        part("instructions", "system prompt", "aaaa", -5000),
        part("tool_schema", "pay", "cccc", 40),
        part("source_state", "wiki", "2026-11-21", 30),
        part("source_state", "wiki", "2026-11-20", -900),
        part("model", "gpt-x", "", 20),
    ]
    found = list(from_parts("triage", parts, since=NOON))
    assert [(one.kind, one.name) for one in found] == [
        ("model", "gpt-x"),
        ("prompt", "system prompt bbbb"),
        ("data_source", "wiki as of 2026-11-21"),
    ]
    assert found[1].told_by == "traffic of workflow triage; before: aaaa"


def test_a_prompt_that_differs_from_request_to_request_changes_nothing() -> None:
    parts = [part("instructions", "system prompt", f"{number:04}", number) for number in range(40)]
    assert list(from_parts("triage", parts, since=NOON)) == []
