"""Tool failures, told from what results say."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.model.content import Part
from kintsugi.policy.tool_failures import failure_of, tool_failures

FAILURES = [
    ("terminal", '{"output": "", "exit_code": 1}', "exit", "exit 1"),
    ("terminal", '{"output": "no such file", "exit_code": 127}', "exit", "exit 127"),
    ("memory", '{"success": false, "error": "would exceed the limit"}', "full", ""),
    ("search", '{"error": "no connection"}', "error", ""),
    ("search", '{"status": "failed"}', "error", ""),
    ("search", '[{"status": "failed"}]', "error", ""),
    ("search", "Error: nothing there", "error", ""),
    ("search", '{"isError": true, "content": []}', "error", ""),
    ("search", '{"ok": false}', "error", ""),
    ("search", '{"status_code": 503, "body": ""}', "http", "status 503"),
    ("search", '{"code": 404, "message": "gone"}', "http", "status 404"),
    ("search", '{"error": "deadline exceeded"}', "timeout", ""),
    ("search", '{"status": "timeout"}', "timeout", ""),
    ("search", '{"error": "Permission denied"}', "refused", ""),
    ("run", "Traceback (most recent call last):\n  File ...", "exception", ""),
    ("run", "command exited with code 2", "exit", "exit 2"),
    ("", '{"data": {"error": "inside"}}', "error", ""),
]
SUCCESSES = [
    ("terminal", '{"output": "Error: printed by a program", "exit_code": 0}'),
    ("terminal", "Error: printed by a program"),
    ("search", '{"error": null, "items": []}'),
    ("search", '{"errors": [], "data": {}}'),
    ("search", '{"isError": false, "content": [{"text": "\\"error\\" is a word"}]}'),
    ("search", '{"success": true, "log": "\\"failed\\" twice before"}'),
    ("search", '{"code": 404, "room": "blue"}'),
    ("search", "The error rate fell."),
    ("search", "All is well. " * 100 + '"error"'),
    ("search", ""),
    ("run", "process exited with code 0"),
]


@pytest.mark.parametrize(("tool", "result", "kind", "detail"), FAILURES)
def test_a_failure_is_seen_and_named(tool: str, result: str, kind: str, detail: str) -> None:
    failure = failure_of(tool, result)
    assert failure is not None
    assert (failure.kind, failure.detail) == (kind, detail)


@pytest.mark.parametrize(("tool", "result"), SUCCESSES)
def test_what_went_well_is_no_failure(tool: str, result: str) -> None:
    assert failure_of(tool, result) is None


def test_a_failure_never_quotes_the_result() -> None:
    failure = failure_of("search", '{"error": "card 4111111111111111 unknown"}')
    assert failure is not None
    assert "4111" not in repr(failure)


def test_a_result_without_a_name_gets_that_of_its_call() -> None:
    parts = [
        Part("assistant", "tool_call", "{}", "/messages/1/tool_calls/0", 0, "terminal"),
        Part("assistant", "tool_call", "{}", "/messages/1/tool_calls/1", 0, "search"),
        Part("tool", "tool_result", '{"exit_code": 3}', "/messages/2/content"),
        Part("tool", "tool_result", "Error: gone", "/messages/3/content"),
    ]
    failures = tool_failures(parts)
    assert [(one.tool, one.kind, one.path) for one in failures] == [
        ("terminal", "exit", "/messages/2/content"),
        ("search", "error", "/messages/3/content"),
    ]


def test_a_conversation_without_results_has_none() -> None:
    assert tool_failures([Part("user", "text", '"error"', "/messages/0/content")]) == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "status", "code", "exit_code", "success", "isError", "x"]),
            inner,
        )
    ),
    max_leaves=8,
)


@given(result=st.text(max_size=200) | JSON.map(json.dumps))
def test_no_result_breaks_it(result: str) -> None:
    failure_of("search", result)
    failure_of("terminal", result)


@given(code=st.integers(min_value=-255, max_value=255))
def test_an_exit_code_alone_decides_for_a_terminal(code: int) -> None:
    result = json.dumps({"output": "Error", "error": "printed", "exit_code": code})
    assert (failure_of("terminal", result) is not None) == (code != 0)
