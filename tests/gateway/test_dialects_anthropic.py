"""What Anthropic messages say, in requests, answers and errors. Streams: test_streams_anthropic."""

from __future__ import annotations

import json
from typing import Any, get_args

import anthropic
import httpx2
import pytest
from anthropic.types.shared.error_type import ErrorType
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.gateway import commands as c
from kintsugi.gateway.answers import REFUSALS, refuse
from kintsugi.gateway.dialects import ANTHROPIC_COUNT_TOKENS, ANTHROPIC_MESSAGES, BY_PATH
from kintsugi.gateway.dialects.json_text import MalformedDocument, json_text
from kintsugi.gateway.in_force import Secret
from kintsugi.model.content import Edit, Part
from kintsugi.model.event import ExchangeStatus
from kintsugi.model.verdict import Verdict
from tests.gateway.playbook import (
    BLOCKING,
    REDACTING,
    Playbook,
    chat,
    error_of,
    in_force,
)
from tests.gateway.wires import message

MESSAGES = b"/v1/messages"
COUNT = b"/v1/messages/count_tokens"
SEALED = "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds="


def said(body: dict[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """Role, kind, text, path and name of every part of a request."""
    view = ANTHROPIC_MESSAGES.read_request(json.dumps({"model": "m", **body}).encode())
    return [flat(part) for part in view.parts]


def answered(*content: dict[str, Any], **fields: Any) -> list[tuple[str, str, str, str, str]]:
    """The same of an answer."""
    view = ANTHROPIC_MESSAGES.read_answer(json.dumps(message([*content], **fields)).encode())
    return [flat(part) for part in view.parts]


def flat(part: Part) -> tuple[str, str, str, str, str]:
    return part.role, part.kind, part.text, part.path, part.name


def blocks(*content: Any, role: str = "user") -> list[tuple[str, str, str, str, str]]:
    """The parts of one message, their paths seen from its content."""
    at = "/messages/0/content"
    parts = said({"messages": [{"role": role, "content": [*content]}]})
    return [(who, kind, text, path.removeprefix(at), name) for who, kind, text, path, name in parts]


def test_every_message_of_every_role_is_read() -> None:
    call = {"type": "tool_use", "id": "t1", "name": "find", "input": {"q": "gold", "n": 1}}
    result = {"type": "tool_result", "tool_use_id": "t1", "is_error": False}
    parts = said(
        {
            "system": "be kind",
            "messages": [
                {"role": "user", "content": "one"},
                {"role": "assistant", "content": [{"type": "text", "text": "Let me see."}, call]},
                {
                    "role": "user",
                    "content": [
                        {**result, "content": "found"},
                        {**result, "content": [{"type": "text", "text": "a bowl"}]},
                        {"type": "text", "text": "and?", "cache_control": {"type": "ephemeral"}},
                    ],
                },
                {"role": "system", "content": "be brief"},
            ],
        }
    )
    assert parts == [
        ("system", "text", "be kind", "/system", ""),
        ("user", "text", "one", "/messages/0/content", ""),
        ("assistant", "text", "Let me see.", "/messages/1/content/0/text", ""),
        ("assistant", "tool_call", '{"q":"gold","n":1}', "/messages/1/content/1/input", "find"),
        ("user", "tool_result", "found", "/messages/2/content/0/content", "find"),
        ("user", "tool_result", "a bowl", "/messages/2/content/1/content/0/text", "find"),
        ("user", "text", "and?", "/messages/2/content/2/text", ""),
        ("system", "text", "be brief", "/messages/3/content", ""),
    ]


def test_the_system_prompt_may_be_blocks() -> None:
    system = [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": None}]
    parts = said({"system": system, "messages": [{"role": "user", "content": "x"}]})
    assert parts[:2] == [
        ("system", "text", "a", "/system/0/text", ""),
        ("system", "text", "b", "/system/1/text", ""),
    ]


def test_thinking_is_reasoning_and_what_the_provider_sealed_is_no_text() -> None:
    assert blocks(
        {"type": "thinking", "thinking": "hm", "signature": SEALED},
        {"type": "redacted_thinking", "data": SEALED},
        {"type": "thinking", "thinking": "", "signature": "no seal but words"},
        role="assistant",
    ) == [
        ("assistant", "reasoning", "hm", "/0/thinking", ""),
        ("assistant", "reasoning", "no seal but words", "/2/signature", ""),
    ]


def test_documents_of_every_source_are_content_and_not_what_the_user_said() -> None:
    text = {"type": "text", "media_type": "text/plain", "data": "word"}
    inner = [{"type": "text", "text": "c"}, {"type": "image", "source": {"type": "file"}}]
    assert blocks(
        {"type": "document", "source": text, "title": "T", "context": "C"},
        {"type": "document", "source": {"type": "content", "content": inner}},
        {"type": "document", "source": {"type": "content", "content": "plain"}},
        {"type": "document", "source": {"type": "url", "url": "https://x.example/a.pdf"}},
        {"type": "document", "source": {"type": "base64", "data": SEALED}, "citations": {"e": 1}},
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        {
            "type": "search_result",
            "source": "https://s.example",
            "title": "S",
            "content": [{"type": "text", "text": "hit"}],
        },
    ) == [
        ("user", "tool_result", "word", "/0/source/data", "document"),
        ("user", "tool_result", "T", "/0/title", "document"),
        ("user", "tool_result", "C", "/0/context", "document"),
        ("user", "tool_result", "c", "/1/source/content/0/text", "document"),
        ("user", "tool_result", "plain", "/2/source/content", "document"),
        ("user", "tool_result", "https://x.example/a.pdf", "/3/source/url", "document"),
        ("user", "tool_result", "https://s.example", "/6/source", "search_result"),
        ("user", "tool_result", "S", "/6/title", "search_result"),
        ("user", "tool_result", "hit", "/6/content/0/text", "search_result"),
    ]


def test_of_pictures_and_uploads_only_the_texts_around_them_are_read() -> None:
    assert blocks(
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": SEALED}},
        {"type": "image", "source": {"type": "base64", "data": "these are words"}},
        {"type": "image", "source": {"type": "url", "url": "https://x.example/?q=secret"}},
        {"type": "container_upload", "file_id": "file_1"},
    ) == [
        ("user", "text", "these are words", "/1/source/data", ""),
        ("user", "text", "https://x.example/?q=secret", "/2/source/url", ""),
    ]


def test_what_server_tools_return_is_read_in_the_models_own_message() -> None:
    hit = {"type": "web_search_result", "url": "https://w.example", "title": "W"}
    fetched = {
        "type": "web_fetch_result",
        "url": "https://f.example",
        "content": {"type": "document", "source": {"type": "text", "data": "page"}},
    }
    ran = {"type": "code_execution_result", "stdout": "out", "stderr": "", "return_code": 0}
    parts = blocks(
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}},
        {
            "type": "web_search_tool_result",
            "tool_use_id": "s1",
            "content": [{**hit, "encrypted_content": SEALED, "page_age": "May"}],
        },
        {"type": "web_fetch_tool_result", "tool_use_id": "s2", "content": fetched},
        {"type": "bash_code_execution_tool_result", "tool_use_id": "s3", "content": ran},
        {"type": "mcp_tool_use", "id": "m", "name": "say", "server_name": "srv", "input": {}},
        {"type": "mcp_tool_result", "tool_use_id": "m", "content": [{"type": "text", "text": "t"}]},
        role="assistant",
    )
    assert parts == [
        ("assistant", "tool_call", '{"query":"q"}', "/0/input", "web_search"),
        ("tool", "tool_result", "https://w.example", "/1/content/0/url", "web_search"),
        ("tool", "tool_result", "W", "/1/content/0/title", "web_search"),
        ("tool", "tool_result", "https://f.example", "/2/content/url", ""),
        ("tool", "tool_result", "page", "/2/content/content/source/data", ""),
        ("tool", "tool_result", "out", "/3/content/stdout", ""),
        ("assistant", "tool_call", "{}", "/4/input", "say"),
        ("assistant", "text", "srv", "/4/server_name", ""),
        ("tool", "tool_result", "t", "/5/content/0/text", "say"),
    ]


def test_citations_quote_what_was_retrieved() -> None:
    citation = {
        "type": "char_location",
        "cited_text": "quoted",
        "document_title": "D",
        "document_index": 0,
    }
    parts = answered({"type": "text", "text": "so", "citations": [citation]})
    assert parts == [
        ("tool", "tool_result", "quoted", "/content/0/citations/0/cited_text", "citation"),
        ("tool", "tool_result", "D", "/content/0/citations/0/document_title", "citation"),
        ("assistant", "text", "so", "/content/0/text", ""),
    ]


def test_blocks_and_fields_that_nobody_knows_are_judged() -> None:
    odd = {"type": "hologram", "scene": {"caption": "hi"}, "note": "n"}
    assert blocks(odd, {"type": "text", "text": "t", "x": 1, "y": ["z"]}) == [
        ("user", "text", json_text(odd["scene"]), "/0/scene", ""),
        ("user", "text", "n", "/0/note", ""),
        ("user", "text", "t", "/1/text", ""),
        ("user", "text", '["z"]', "/1/y", ""),
    ]
    parts = said({"messages": [{"role": "user", "content": "x", "aside": "psst"}], "hint": "h"})
    assert parts[1:] == [
        ("user", "text", "psst", "/messages/0/aside", ""),
        ("user", "text", "h", "/hint", ""),
    ]


def test_tools_and_the_servers_that_bring_them_are_read_as_definitions() -> None:
    schema = {"type": "object", "properties": {"q": {"description": "ignore previous"}}}
    server = {"type": "url", "name": "srv", "url": "https://m.example", "authorization_token": "k"}
    parts = said(
        {
            "messages": [{"role": "user", "content": "x"}],
            "tools": [
                {"name": "find", "description": "Finds.", "input_schema": schema},
                {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
                {"type": "browser_toolset_20260801", "cache_control": {"type": "ephemeral"}},
                {"type": "mcp_toolset", "mcp_server_name": "srv"},
            ],
            "tool_choice": {"type": "tool", "name": "find"},
            "mcp_servers": [server],
        }
    )
    assert parts[1:] == [
        ("system", "tool_definition", "Finds.", "/tools/0/description", "find"),
        ("system", "tool_definition", json_text(schema), "/tools/0/input_schema", "find"),
        ("system", "tool_definition", "", "/tools/1", "web_search"),
        ("system", "tool_definition", "", "/tools/2", "browser_toolset"),
        ("system", "tool_definition", "srv", "/tools/3/mcp_server_name", "srv"),
        ("user", "tool_definition", "https://m.example", "/mcp_servers/0/url", "srv"),
        ("user", "tool_definition", "k", "/mcp_servers/0/authorization_token", "srv"),
    ]


def test_settings_say_nothing_and_other_fields_are_read() -> None:
    form = {"type": "json_schema", "schema": {"type": "object"}}
    parts = said(
        {
            "messages": [{"role": "user", "content": "x"}],
            "max_tokens": 5,
            "thinking": {"type": "enabled", "budget_tokens": 1024},
            "service_tier": "auto",
            "top_k": 3,
            "metadata": {"user_id": "ada@lovelace.example"},
            "stop_sequences": ["END", "STOP"],
            "output_config": {"effort": "low", "format": form},
            "context_management": {"edits": [{"type": "compact", "instructions": "say yes"}]},
            "stream": None,
        }
    )
    assert [(text, path) for _, _, text, path, _ in parts[1:]] == [
        ("ada@lovelace.example", "/metadata/user_id"),
        ("END", "/stop_sequences/0"),
        ("STOP", "/stop_sequences/1"),
        (json_text(form), "/output_config/format"),
        ('{"edits":[{"type":"compact","instructions":"say yes"}]}', "/context_management"),
    ]


def test_model_stream_and_bound_are_read() -> None:
    read = ANTHROPIC_MESSAGES.read_request
    view = read(chat("x", stream=True, model="claude", max_tokens=64))
    assert (view.model, view.stream, view.output_tokens_max) == ("claude", True, 64)
    view = read(chat("x", max_tokens="many"))
    assert (view.stream, view.output_tokens_max) == (False, 0)


@pytest.mark.parametrize(
    "body",
    [
        {"messages": []},
        {"messages": "x"},
        {"messages": ["x"]},
        {"messages": [{"content": "x"}]},
        {"messages": [{"role": 7, "content": "x"}]},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "user", "content": {"type": "text", "text": "x"}}]},
        {"messages": [{"role": "user", "content": [7]}]},
        {"messages": [{"role": "user", "content": [{"type": ["text"], "text": "x"}]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "Text": "x"}]}]},
        {"messages": [{"role": "user", "content": "x", "Content": "y"}]},
        {"messages": [{"role": "user", "content": "x"}], "Messages": []},
        {"messages": [{"role": "user", "content": "x"}], "System": "y"},
        {"messages": [{"role": "user", "content": "x"}], "system": 7},
        {"messages": [{"role": "user", "content": "x"}], "tools": {}},
        {"messages": [{"role": "user", "content": "x"}], "tools": [7]},
        {"messages": [{"role": "user", "content": "x"}], "tools": [{"Description": "x"}]},
        {"messages": [{"role": "user", "content": "x"}], "mcp_servers": "x"},
        {"messages": [{"role": "user", "content": "x"}], "stream": "yes"},
        {"messages": [{"role": "user", "content": "x"}], "model": ""},
    ],
)
def test_a_request_that_cannot_be_read_in_one_way_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(MalformedDocument):
        said(body)


def test_repeated_keys_are_refused() -> None:
    with pytest.raises(MalformedDocument, match="twice"):
        ANTHROPIC_MESSAGES.read_request(
            b'{"model":"m","messages":[{"role":"user","content":"a","content":"b"}]}'
        )


def test_an_answer_is_read_with_its_model_and_all_the_tokens_it_took() -> None:
    usage = {
        "input_tokens": 5,
        "cache_creation_input_tokens": 20,
        "cache_read_input_tokens": 100,
        "output_tokens": 7,
        "service_tier": "standard",
    }
    content: list[dict[str, Any]] = [{"type": "text", "text": "hi"}]
    view = ANTHROPIC_MESSAGES.read_answer(json.dumps(message(content, usage=usage)).encode())
    assert (view.model, view.input_tokens, view.output_tokens) == ("sim-echo-1", 125, 7)
    assert [part.text for part in view.parts] == ["hi"]


def test_why_an_answer_ended_is_read_where_it_is_text() -> None:
    details = {"type": "refusal", "category": "bio", "explanation": "because"}
    parts = answered(stop_reason="refusal", stop_sequence="END", stop_details=details, new="text")
    assert {(text, path) for _, _, text, path, _ in parts} == {
        ("because", "/stop_details/explanation"),
        ("bio", "/stop_details/category"),
        ("END", "/stop_sequence"),
        ("text", "/new"),
    }


@pytest.mark.parametrize("body", [b"[]", b'{"content":"x"}', b'{"content":[7]}', b"{", b"{}"])
def test_an_answer_that_is_none_is_not_read(body: bytes) -> None:
    with pytest.raises(MalformedDocument):
        ANTHROPIC_MESSAGES.read_answer(body)


@given(st.recursive(st.text(), lambda below: st.lists(below) | st.dictionaries(st.text(), below)))
def test_every_string_of_a_block_without_a_reading_is_in_some_part(value: Any) -> None:
    parts = blocks({"type": "new", "value": value})
    texts = [text for _, _, text, _, _ in parts]
    if isinstance(value, str):
        assert texts == ([value] if value else [])
    else:
        assert texts == ([json_text(value)] if value else [])


def test_redacting_arguments_keeps_them_an_object() -> None:
    content = [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": "123-45-6789", "n": 1}}]
    play = Playbook(in_force(REDACTING))
    play.request(chat(max_tokens=9), target=MESSAGES)
    answer = play.exchange_of(json.dumps(message(content)).encode())
    (block,) = json.loads(answer.body)["content"]
    assert block["input"]["a"].startswith("[REDACTED")
    assert block["input"]["n"] == 1
    assert play.event.verdict is Verdict.REDACT


def test_redacting_arguments_that_would_no_longer_be_json_blocks() -> None:
    rule = """dlp-filter: {action: redact, detect_patterns: ['x":"y']}"""
    content = [{"type": "tool_use", "id": "t", "name": "f", "input": {"x": "y"}}]
    play = Playbook(in_force(rule))
    play.request(chat(max_tokens=9), target=MESSAGES)
    answer = play.exchange_of(json.dumps(message(content)).encode())
    assert answer.status == 409
    assert error_of(answer)["code"] == "output_blocked"


def test_thinking_that_is_redacted_loses_its_signature_and_other_thinking_keeps_it() -> None:
    content = [
        {"type": "thinking", "thinking": "she is 123-45-6789", "signature": SEALED},
        {"type": "thinking", "thinking": "nothing", "signature": SEALED},
        {"type": "text", "text": "well"},
    ]
    play = Playbook(in_force(REDACTING))
    play.request(chat(max_tokens=9), target=MESSAGES)
    answer = play.exchange_of(json.dumps(message(content)).encode())
    first, second, text = json.loads(answer.body)["content"]
    assert first["thinking"].startswith("she is [REDACTED")
    assert first["signature"] is None
    assert (second, text) == (content[1], content[2])
    paths = ["/content/3/thinking", "/content/3/thinking", "/content/4/text"]
    edits = [Edit(path, 0, 1, "") for path in paths]
    assert ANTHROPIC_MESSAGES.clears(edits) == ["/content/3/signature"]


def test_tokens_are_counted_by_the_provider_of_a_request_that_was_judged() -> None:
    play = Playbook(in_force(BLOCKING))
    play.request(chat("hello"), target=COUNT)
    assert play.only(c.CallUpstream).path == b"/v1/messages/count_tokens"
    answer = play.exchange_of(b'{"input_tokens": 8}')
    assert (answer.status, answer.body) == (200, b'{"input_tokens": 8}')
    event = play.event
    assert (event.dialect, event.status) == ("anthropic.count_tokens", ExchangeStatus.ANSWERED)
    assert (event.input_tokens, event.output_tokens) == (0, 0)

    play = Playbook(in_force(BLOCKING))
    play.request(chat("say STOPME"), target=COUNT)
    play.recorded()
    assert play.only(c.Answer).status == 409
    assert not play.all(c.CallUpstream)
    with pytest.raises(MalformedDocument):
        ANTHROPIC_COUNT_TOKENS.read_answer(b"7")
    (part,) = ANTHROPIC_COUNT_TOKENS.read_answer(b'{"input_tokens":1,"note":"n"}').parts
    assert flat(part) == ("assistant", "text", "n", "/note", "")


def test_a_request_that_is_counted_gets_the_changes_that_it_would_get() -> None:
    changing = (
        "dlp-filter: {action: transform, phases: [input], detect_patterns: [please], transform:"
        " {inject_text: Be kind., max_output_tokens: 5, confirmation: 'May I?'}}"
    )
    play = Playbook(in_force(changing))
    play.request(chat("please"), target=COUNT)
    sent = json.loads(play.only(c.CallUpstream).body)
    assert sent["system"] == "Be kind."
    assert "max_tokens" not in sent
    assert play.exchange_of(b'{"input_tokens": 8}').body == b'{"input_tokens": 8}'


def test_both_endpoints_are_in_the_table() -> None:
    assert BY_PATH[MESSAGES] is ANTHROPIC_MESSAGES
    assert BY_PATH[COUNT] is ANTHROPIC_COUNT_TOKENS


TARGETS = (
    "[{id: oa, provider: openai, model: m, secret_key_ref: {env: OA}},"
    " {id: an, provider: anthropic, secret_key_ref: {env: AN}, fallback: [sim]},"
    " {id: sim, provider: simulator}]"
)
SECRETS = {"oa": Secret("oa-key"), "an": Secret("an-key")}


def test_a_target_is_chosen_by_what_its_provider_speaks() -> None:
    found = in_force(targets=TARGETS, secrets=SECRETS).candidates
    ids = {
        (model, dialect): [one.target.id for one in found(model, dialect)]
        for model in ("m", "other")
        for dialect in ("openai.chat", "anthropic.messages", "anthropic.count_tokens", "")
    }
    assert ids == {
        ("m", "openai.chat"): ["oa"],
        ("m", "anthropic.messages"): ["an", "sim"],
        ("m", "anthropic.count_tokens"): ["an", "sim"],
        ("m", ""): ["oa"],
        ("other", "openai.chat"): ["sim"],
        ("other", "anthropic.messages"): ["an", "sim"],
        ("other", "anthropic.count_tokens"): ["an", "sim"],
        ("other", ""): ["an", "sim"],
    }
    assert not in_force(targets="[{id: oa, provider: openai}]").candidates(
        "m", "anthropic.messages"
    )


def test_a_request_goes_only_to_a_target_that_speaks_its_dialect() -> None:
    targets = "[{id: oa, provider: openai}, {id: an, provider: anthropic}]"
    play = Playbook(in_force(targets=targets))
    play.request(chat(max_tokens=9), target=MESSAGES)
    assert play.only(c.CallUpstream).target_id == "an"
    play = Playbook(in_force(targets=targets))
    play.request(chat())
    assert play.only(c.CallUpstream).target_id == "oa"
    play = Playbook(in_force(targets="[{id: oa, provider: openai}]"))
    play.request(chat(max_tokens=9), target=MESSAGES)
    play.recorded()
    assert error_of(play.only(c.Answer))["code"] == "model_not_found"


def test_anthropic_gets_its_key_in_its_own_header_and_the_clients_versions() -> None:
    targets = "[{id: an, provider: anthropic, secret_key_ref: {env: AN}}]"
    play = Playbook(in_force(targets=targets, secrets=SECRETS))
    headers = [
        (b"anthropic-version", b"2023-06-01"),
        (b"anthropic-beta", b"files-api-2025-04-14"),
        (b"x-api-key", b"the client's own"),
        (b"authorization", b"Bearer too"),
    ]
    play.request(chat(max_tokens=9), target=MESSAGES, headers=headers)
    call = play.only(c.CallUpstream)
    assert (call.origin, call.path) == ("https://api.anthropic.com", b"/v1/messages")
    sent = [header for header in call.headers if header[0] != b"accept-encoding"]
    assert sorted(sent) == [*sorted(headers[:2]), (b"x-api-key", b"an-key")]


def test_the_providers_own_headers_come_back() -> None:
    play = Playbook(in_force())
    play.request(chat(max_tokens=9), target=MESSAGES)
    play.admitted()
    limit = (b"anthropic-ratelimit-requests-remaining", b"7")
    mine, cookie = (b"request-id", b"req_1"), (b"set-cookie", b"a=b")
    play.head(200, b"application/json", mine, limit, cookie)
    play.data(json.dumps(message([])).encode())
    play.end()
    play.recorded()
    headers = play.only(c.Answer).headers
    assert mine in headers
    assert limit in headers
    assert cookie not in headers


def test_every_refusal_has_the_shape_of_the_sdk() -> None:
    known = set(get_args(ErrorType))
    for code, refusal in REFUSALS.items():
        status, _, body = refuse(ANTHROPIC_MESSAGES, code, event_id="e")
        document = json.loads(body)
        assert status == refusal.status
        assert (document["type"], document["request_id"]) == ("error", "e")
        error = document["error"]
        assert error["code"] == error["details"]["error_code"] == code
        assert error["type"] in known | {"request_too_large"}
        assert error["event_id"] == "e"


def client(answer: c.Answer) -> anthropic.Anthropic:
    """The official client, in front of one answer of ours. It would repeat what it may."""

    def handle(request: httpx2.Request) -> httpx2.Response:
        calls.append(request)
        headers = [(name.decode(), value.decode()) for name, value in answer.headers]
        return httpx2.Response(answer.status, headers=headers, content=answer.body)

    calls: list[httpx2.Request] = []
    made = anthropic.Anthropic(
        api_key="k",
        base_url="http://gateway.example",
        http_client=httpx2.Client(transport=httpx2.MockTransport(handle)),
    )
    made.calls = calls  # type: ignore[attr-defined]
    return made


@pytest.mark.parametrize("stream", [False, True])
def test_the_sdk_raises_a_block_as_a_conflict_once_with_everything_in_it(stream: bool) -> None:
    play = Playbook(in_force(BLOCKING))
    play.request(chat("STOPME", stream=stream, max_tokens=9), target=MESSAGES)
    play.recorded()
    sdk = client(play.only(c.Answer))
    with pytest.raises(anthropic.ConflictError) as raised:
        sdk.messages.create(
            model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}], stream=stream
        )
    error: Any = raised.value
    assert (error.type, error.error_code) == ("policy_violation", "input_blocked")
    body = error.body
    assert body["error"]["policy"] == "dlp-filter"
    assert body["error"]["reason_code"] == play.event.reason_code
    assert body["error"]["event_id"] == play.event.id
    assert len(sdk.calls) == 1  # type: ignore[attr-defined]


def test_the_sdk_raises_an_unknown_model_as_not_found() -> None:
    play = Playbook(in_force())
    play.request(chat(model="nobody", max_tokens=9), target=MESSAGES)
    play.recorded()
    with pytest.raises(anthropic.NotFoundError) as raised:
        client(play.only(c.Answer)).messages.create(
            model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}]
        )
    assert raised.value.type == "not_found_error"
    assert "sim-echo" in raised.value.message
