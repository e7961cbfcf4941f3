"""What a response says, in requests and answers. Streams: test_streams_openai_responses.py."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest

from kintsugi.gateway import commands as c
from kintsugi.gateway.dialects import OPENAI_RESPONSES
from kintsugi.gateway.dialects.json_text import MalformedDocument, json_text
from kintsugi.model.content import Part
from tests.gateway.playbook import (
    REDACTING,
    Playbook,
    in_force,
)
from tests.gateway.wires import RESPONSES_WIRE

RESPONSES = b"/v1/responses"
NUMBER = "123-45-6789"

Flat = tuple[str, str, str, str, str]


def flat(part: Part) -> Flat:
    return part.role, part.kind, part.text, part.path, part.name


def said(body: dict[str, Any]) -> list[Flat]:
    """Role, kind, text, path and name of every part of a request."""
    view = OPENAI_RESPONSES.read_request(json.dumps({"model": "m", **body}).encode())
    return [flat(part) for part in view.parts]


def answered(body: dict[str, Any]) -> list[Flat]:
    """The same of an answer."""
    return [flat(part) for part in OPENAI_RESPONSES.read_answer(json.dumps(body).encode()).parts]


def items(*made: dict[str, Any]) -> list[tuple[str, str, str, str, str]]:
    return said({"input": list(made)})


def test_a_plain_text_is_what_the_user_says() -> None:
    assert said({"input": "hi", "instructions": "be kind"}) == [
        ("user", "text", "hi", "/input", ""),
        ("developer", "text", "be kind", "/instructions", ""),
    ]


def test_messages_are_read_in_every_shape() -> None:
    parts = items(
        {"role": "user", "content": "short"},
        {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "s"}]},
        {
            "type": "message",
            "role": "assistant",
            "id": "msg_1",
            "status": "completed",
            "content": [
                {"type": "output_text", "text": "a", "annotations": [], "logprobs": []},
                {"type": "refusal", "refusal": "no"},
            ],
        },
        {"type": "message", "role": "user", "name": "ada", "content": "x", "new": {"k": "v"}},
    )
    assert parts == [
        ("user", "text", "short", "/input/0/content", ""),
        ("system", "text", "s", "/input/1/content/0/text", ""),
        ("assistant", "text", "a", "/input/2/content/0/text", ""),
        ("assistant", "text", "no", "/input/2/content/1/refusal", ""),
        ("user", "text", "x", "/input/3/content", ""),
        ("user", "text", "ada", "/input/3/name", ""),
        ("user", "text", '{"k":"v"}', "/input/3/new", ""),
    ]


@pytest.mark.parametrize(
    ("item", "found"),
    [
        (
            {"type": "function_call", "call_id": "c", "name": "find", "arguments": '{"q":1}'},
            [("assistant", "tool_call", '{"q":1}', "/arguments", "find")],
        ),
        (
            {"type": "function_call_output", "call_id": "c", "output": "found"},
            [("tool", "tool_result", "found", "/output", "")],
        ),
        (
            {
                "type": "function_call_output",
                "call_id": "c",
                "output": [
                    {"type": "input_text", "text": "one"},
                    {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
                    {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain,hi"},
                ],
            },
            [
                ("tool", "tool_result", "one", "/output/0/text", ""),
                ("tool", "tool_result", "a.txt", "/output/2/filename", ""),
                ("tool", "tool_result", "data:text/plain,hi", "/output/2/file_data", ""),
            ],
        ),
        (
            {
                "type": "reasoning",
                "id": "rs",
                "summary": [{"type": "summary_text", "text": "short"}],
                "content": [{"type": "reasoning_text", "text": "long"}],
                "encrypted_content": "gAAAAABobW9uZ2V5-_x==",
            },
            [
                ("assistant", "reasoning", "short", "/summary/0/text", ""),
                ("assistant", "reasoning", "long", "/content/0/text", ""),
            ],
        ),
        (
            {"type": "reasoning", "summary": [], "encrypted_content": "not sealed at all"},
            [("assistant", "text", "not sealed at all", "/encrypted_content", "")],
        ),
        (
            {"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": "select 1"},
            [("assistant", "tool_call", "select 1", "/input", "sql")],
        ),
        (
            {"type": "custom_tool_call_output", "call_id": "c", "output": "1"},
            [("tool", "tool_result", "1", "/output", "")],
        ),
        (
            {
                "type": "mcp_call",
                "id": "m",
                "server_label": "crm",
                "name": "look_up",
                "arguments": "{}",
                "output": "row",
                "error": {"type": "http_error", "code": 500, "message": "oh"},
            },
            [
                ("assistant", "tool_call", "{}", "/arguments", "look_up"),
                ("tool", "tool_result", "row", "/output", "look_up"),
                ("tool", "tool_result", "oh", "/error/message", "look_up"),
            ],
        ),
        (
            {
                "type": "mcp_list_tools",
                "server_label": "crm",
                "tools": [{"name": "look_up", "description": "d", "input_schema": {"a": 1}}],
            },
            [
                ("system", "tool_definition", "d", "/tools/0/description", "look_up"),
                ("system", "tool_definition", '{"a":1}', "/tools/0/input_schema", "look_up"),
            ],
        ),
        (
            {"type": "mcp_approval_request", "name": "pay", "arguments": "{}", "server_label": "x"},
            [("assistant", "tool_call", "{}", "/arguments", "pay")],
        ),
        (
            {
                "type": "mcp_approval_response",
                "approve": False,
                "approval_request_id": "a",
                "reason": "too much",
            },
            [("user", "text", "too much", "/reason", "")],
        ),
        (
            {"type": "web_search_call", "id": "w", "action": {"type": "search", "query": "q"}},
            [
                (
                    "assistant",
                    "tool_call",
                    '{"type":"search","query":"q"}',
                    "/action",
                    "web_search",
                )
            ],
        ),
        (
            {
                "type": "file_search_call",
                "queries": ["q"],
                "results": [{"file_id": "f", "filename": "n", "text": "t", "score": 0.5}],
            },
            [
                ("assistant", "tool_call", '["q"]', "/queries", "file_search"),
                ("tool", "tool_result", "n", "/results/0/filename", "file_search"),
                ("tool", "tool_result", "t", "/results/0/text", "file_search"),
            ],
        ),
        (
            {
                "type": "code_interpreter_call",
                "code": "print(1)",
                "container_id": "c",
                "outputs": [{"type": "logs", "logs": "1"}],
            },
            [
                ("assistant", "tool_call", "print(1)", "/code", "code_interpreter"),
                ("tool", "tool_result", "1", "/outputs/0/logs", "code_interpreter"),
            ],
        ),
        (
            {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls", "cat x"]}},
            [
                ("assistant", "tool_call", "ls", "/action/commands/0", "shell"),
                ("assistant", "tool_call", "cat x", "/action/commands/1", "shell"),
            ],
        ),
        (
            {
                "type": "shell_call_output",
                "output": [{"stdout": "o", "stderr": "e", "outcome": {"type": "timeout"}}],
            },
            [
                ("tool", "tool_result", "o", "/output/0/stdout", ""),
                ("tool", "tool_result", "e", "/output/0/stderr", ""),
                ("tool", "tool_result", '{"type":"timeout"}', "/output/0/outcome", ""),
            ],
        ),
        (
            {"type": "local_shell_call", "action": {"type": "exec", "command": ["ls"]}},
            [
                (
                    "assistant",
                    "tool_call",
                    '{"type":"exec","command":["ls"]}',
                    "/action",
                    "local_shell",
                )
            ],
        ),
        (
            {"type": "apply_patch_call", "operation": {"type": "delete_file", "path": "/x"}},
            [
                (
                    "assistant",
                    "tool_call",
                    '{"type":"delete_file","path":"/x"}',
                    "/operation",
                    "apply_patch",
                )
            ],
        ),
        (
            {
                "type": "computer_call_output",
                "call_id": "c",
                "output": {"type": "computer_screenshot", "image_url": "https://x.example/a"},
            },
            [("tool", "tool_result", "https://x.example/a", "/output/image_url", "")],
        ),
        (
            {
                "type": "image_generation_call",
                "id": "i",
                "result": "iVBORw0KGgo",
                "revised_prompt": "a cat",
            },
            [("assistant", "text", "a cat", "/revised_prompt", "")],
        ),
        ({"type": "item_reference", "id": "msg_1"}, []),
        (
            {"type": "hologram", "caption": "hi", "scene": {"k": "v"}, "size": "big", "n": 7},
            [
                ("user", "text", "hi", "/caption", ""),
                ("user", "text", '{"k":"v"}', "/scene", ""),
                ("user", "text", "big", "/size", ""),
            ],
        ),
    ],
)
def test_an_item_of_every_type_is_read(item: dict[str, Any], found: list[Flat]) -> None:
    """The same item as input and as output; only who an unknown item speaks for differs."""
    assert items(item) == [(a, b, t, "/input/0" + at, n) for a, b, t, at, n in found]
    output = [(a if a != "user" or item["type"] != "hologram" else "assistant", b, t, at, n)
              for a, b, t, at, n in found]  # fmt: skip
    expected = [(a, b, t, "/output/0" + at, n) for a, b, t, at, n in output]
    assert sorted(answered({"output": [item]})) == sorted(expected)


def test_a_result_is_of_the_tool_whose_call_it_names() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "find", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "c"}
    assert items(call, {**result, "output": "one"})[-1] == (
        *("tool", "tool_result", "one", "/input/1/output"),
        "find",
    )
    block = {"type": "input_text", "text": "two"}
    assert items(call, {**result, "output": [block]})[-1] == (
        *("tool", "tool_result", "two", "/input/1/output/0/text"),
        "find",
    )
    assert items({**result, "output": "one"})[-1][-1] == ""


def test_of_binary_content_only_the_texts_around_it_are_read() -> None:
    content = [
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
        {"type": "input_image", "image_url": "https://x.example/?q=secret"},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "input_file", "file_data": "data:application/pdf;base64,AAAA", "filename": "p"},
        {"type": "input_text", "text": "data:image/png, says the user"},
    ]
    texts = [text for _, _, text, _, _ in items({"role": "user", "content": content})]
    assert texts == ["https://x.example/?q=secret", "wav", "p", "data:image/png, says the user"]


def test_fields_beside_the_input_are_judged_unless_they_are_settings() -> None:
    parts = said(
        {
            "input": "x",
            "temperature": 0.5,
            "reasoning": {"effort": "low"},
            "previous_response_id": "resp_0",
            "conversation": {"id": "conv_0"},
            "tool_choice": "auto",
            "include": ["reasoning.encrypted_content"],
            "metadata": {"k": "v"},
            "user": "ada@x.example",
            "safety_identifier": "s",
            "prompt": {
                "id": "pmpt_1",
                "version": "2",
                "variables": {
                    "city": "Rome",
                    "note": {"type": "input_text", "text": "t"},
                    "²": "odd",
                },
                "new": "field",
            },
            "a/b~c": "unknown",
            "number": 7,
        }
    )
    assert [(text, path) for _, _, text, path, _ in parts[1:]] == [
        ('{"k":"v"}', "/metadata"),
        ("ada@x.example", "/user"),
        ("s", "/safety_identifier"),
        ("Rome", "/prompt/variables/city"),
        ("t", "/prompt/variables/note/text"),
        ("odd", "/prompt/variables/²"),
        ("field", "/prompt/new"),
        ("unknown", "/a~1b~0c"),
    ]
    assert {role for role, *_ in parts} == {"user"}


def test_tools_and_the_answers_form_are_definitions() -> None:
    form = {"format": {"type": "json_schema", "name": "n", "schema": {"description": "d"}}}
    parts = said(
        {
            "input": "x",
            "tools": [
                {"type": "function", "name": "f", "description": "d", "parameters": {"a": 1}},
                {"type": "web_search_preview_2025_03_11"},
                {"type": "mcp", "server_label": "crm", "server_url": "https://crm.example"},
            ],
            "text": form,
        }
    )
    assert parts[1:] == [
        ("system", "tool_definition", "d", "/tools/0/description", "f"),
        ("system", "tool_definition", '{"a":1}', "/tools/0/parameters", "f"),
        ("system", "tool_definition", "", "/tools/1", "web_search"),
        ("system", "tool_definition", "crm", "/tools/2/server_label", "crm"),
        ("system", "tool_definition", "https://crm.example", "/tools/2/server_url", "crm"),
        ("user", "tool_definition", json_text(form), "/text", ""),
    ]
    assert said({"input": "x", "text": {"format": {"type": "text"}, "verbosity": "low"}}) == [
        ("user", "text", "x", "/input", "")
    ]


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        "{}",
        '{"input":"x"}',
        '{"model":7,"input":"x"}',
        '{"model":"m","input":7}',
        '{"model":"m","input":["x"]}',
        '{"model":"m","input":[{"role":7,"content":"x"}]}',
        '{"model":"m","input":[{"role":"user","content":7}]}',
        '{"model":"m","input":[{"type":7}]}',
        '{"model":"m","input":[{"role":"user","content":[7]}]}',
        '{"model":"m","input":"x","input":"y"}',
        '{"model":"m","input":"x","Input":"y"}',
        '{"model":"m","input":[{"role":"user","content":"x","Content":"y"}]}',
        '{"model":"m","input":[{"type":"function_call","arguments":"1","Arguments":"2"}]}',
        '{"model":"m","input":[{"role":"user","content":[{"type":"a","text":"1","Text":"2"}]}]}',
        '{"model":"m","input":"x","stream":"yes"}',
        '{"model":"m","input":"x","tools":{}}',
        '{"model":"m","input":"x","tools":[7]}',
        '{"model":"m","input":"x","prompt":7}',
        '{"model":"m","input":"\\ud800',
    ],
)
def test_a_request_that_cannot_be_read_in_one_way_is_refused(body: str) -> None:
    with pytest.raises(MalformedDocument):
        OPENAI_RESPONSES.read_request(body.encode())


def test_an_answer_is_read_in_full_in_one_order() -> None:
    document = {
        "id": "resp_1",
        "object": "response",
        "model": "sim-echo-1",
        "status": "completed",
        "usage": {"input_tokens": 11, "output_tokens": 7},
        "instructions": [{"role": "system", "content": "from a stored prompt"}],
        "tools": [{"type": "function", "name": "f", "description": "d"}],
        "metadata": {},
        "text": {"format": {"type": "text"}},
        "future": "said",
        "error": {"code": "server_error", "message": "broke"},
        "output": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "why"}]},
            {
                "type": "message",
                "role": "assistant",
                "content": [
                    {
                        "type": "output_text",
                        "text": "see",
                        "logprobs": [{"token": "see"}],
                        "annotations": [
                            {"type": "url_citation", "url": "https://x.example", "title": "t"}
                        ],
                    }
                ],
            },
        ],
    }
    view = OPENAI_RESPONSES.read_answer(json.dumps(document).encode())
    assert (view.model, view.input_tokens, view.output_tokens) == ("sim-echo-1", 11, 7)
    assert [flat(part) for part in view.parts] == [
        ("assistant", "text", "broke", "/error/message", ""),
        ("assistant", "text", "said", "/future", ""),
        ("system", "text", "from a stored prompt", "/instructions/0/content", ""),
        ("assistant", "reasoning", "why", "/output/0/summary/0/text", ""),
        ("tool", "tool_result", "t", "/output/1/content/0/annotations/0/title", ""),
        ("tool", "tool_result", "https://x.example", "/output/1/content/0/annotations/0/url", ""),
        ("assistant", "text", "see", "/output/1/content/0/text", ""),
        ("system", "tool_definition", "d", "/tools/0/description", "f"),
    ]
    for broken in (b"{}", b'{"output":{}}', b'{"output":[7]}', b"7", b"{"):
        with pytest.raises(MalformedDocument):
            OPENAI_RESPONSES.read_answer(broken)


def test_what_an_answer_repeats_is_told_apart_from_what_the_model_says() -> None:
    body = {"output": [], "instructions": "be kind", "user": "ada", "metadata": {"k": "v"}}
    assert {role for role, *_ in answered(body)} == {"developer", "user"}


def test_a_whole_answer_is_edited_in_place_and_nothing_else_changes() -> None:
    body = b'{ "output":[{"type":"message","role":"assistant","content":[{"type":"output_text",\n'
    body += b'"text":"it is 123-45-6789","annotations":[]}]}], "x":1.50 }'
    play = Playbook(in_force(REDACTING))
    play.request(RESPONSES_WIRE.request(False), target=RESPONSES)
    sent = play.exchange_of(body).body
    assert sent == body.replace(b"123-45-6789", b"[REDACTED:PATTERN_1]")


def test_the_request_goes_to_the_same_path_upstream() -> None:
    play = Playbook(in_force(REDACTING))
    play.request(
        json.dumps({"model": "sim-echo", "input": f"I am {NUMBER}"}).encode(), target=RESPONSES
    )
    call = play.only(c.CallUpstream)
    assert call.path == RESPONSES
    assert json.loads(call.body)["input"] == "I am [REDACTED:PATTERN_1]"


@pytest.mark.parametrize("depth", [100, 980, 990, 995, 999, 5_000, 100_000])
@pytest.mark.parametrize("nest", [(b"[", b"]"), (b'{"a":', b"}")])
def test_what_is_nested_deeply_is_read_or_refused(nest: tuple[bytes, bytes], depth: int) -> None:
    deep = nest[0] * depth + b'"x"' + nest[1] * depth
    for read, body in (
        (OPENAI_RESPONSES.read_request, b'{"model":"m","input":"x","new":%b}'),
        (OPENAI_RESPONSES.read_request, b'{"model":"m","input":[{"type":"new","x":%b}]}'),
        (OPENAI_RESPONSES.read_answer, b'{"output":[{"type":"new","x":%b}]}'),
        (OPENAI_RESPONSES.open_stream().read, b'{"type":"response.new.delta","delta":%b}'),
        (OPENAI_RESPONSES.open_stream().read, b'{"type":"response.new","x":%b}'),
    ):
        with suppress(MalformedDocument):
            read(body % deep)
