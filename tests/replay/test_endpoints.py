"""Cases go to every endpoint that the gateway governs, and mean the same there."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kintsugi.gateway.dialects import DIALECTS
from kintsugi.model.config import CASE_ENDPOINTS, Case, CaseExpected, CaseInput, Position
from kintsugi.policy.parse import parse_config
from kintsugi.replay.case_runner import run_cases
from kintsugi.replay.driver import carry, put_in_force
from kintsugi.replay.results import CaseOutcome, CaseResult
from kintsugi.replay.sources import Located
from kintsugi.replay.visible_text import visible_text

SOURCE = """\
pack: {name: endpoints, version: 1.0.0}
mcp: {servers: [{id: files, url: "https://mcp.example.com/mcp", secret_key_ref: {env: FILES}}]}
policies: {chain: [dlp-filter, agent-firewall, audit-logger]}
policy:
  dlp-filter: {blocked_terms: [aurora], action: ACTION}
  agent-firewall: {denied_tools: [delete_all], action: block}
  audit-logger: {}
"""
CONFIG = parse_config(SOURCE.replace("ACTION", "block"))
REDACTING = parse_config(SOURCE.replace("ACTION", "redact"))
ANSWERING = ("/v1/chat/completions", "/v1/responses", "/v1/messages")


def run(wanted: CaseInput, *, config: Any = CONFIG, **expected: str) -> CaseResult:
    case = Case(name="case", input=wanted, expected=CaseExpected(**expected))
    located = Located("suite", case, "c.yaml", Position(1, 1))
    (result,) = run_cases(config, [located]).results
    return result


def said(text: str) -> tuple[dict[str, Any], ...]:
    return ({"role": "user", "content": text},)


def test_every_dialect_of_the_gateway_has_cases() -> None:
    assert {dialect.path.decode() for dialect in DIALECTS} == set(CASE_ENDPOINTS)


@pytest.mark.parametrize("endpoint", CASE_ENDPOINTS)
def test_what_is_said_is_judged_at_every_endpoint(endpoint: str) -> None:
    wanted = CaseInput(messages=said("about aurora"), endpoint=endpoint)
    result = run(wanted, verdict="block", policy="dlp-filter")
    assert result.outcome is CaseOutcome.PASS, (result.why, result.mismatches)


@pytest.mark.parametrize("endpoint", CASE_ENDPOINTS)
def test_what_is_harmless_passes_at_every_endpoint(endpoint: str) -> None:
    result = run(CaseInput(messages=said("about gold"), endpoint=endpoint), verdict="allow")
    assert result.outcome is CaseOutcome.PASS, (result.why, result.mismatches)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("endpoint", ANSWERING)
def test_what_the_model_answers_is_judged_and_redacted(endpoint: str, stream: bool) -> None:
    wanted = CaseInput(
        messages=said("hello"),
        upstream_response="gold and aurora and lacquer",
        endpoint=endpoint,
        stream=stream,
    )
    assert run(wanted, verdict="block").outcome is CaseOutcome.PASS
    result = run(
        wanted,
        config=REDACTING,
        verdict="redact",
        response_contains="lacquer",
        response_excludes="aurora",
    )
    assert result.outcome is CaseOutcome.PASS, (result.why, result.mismatches)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("endpoint", ["/v1/responses", "/v1/messages"])
def test_tool_calls_are_said_in_the_same_words_everywhere(endpoint: str, stream: bool) -> None:
    calls = [{"name": "delete_all", "arguments": {"table": "users"}}]
    wanted = CaseInput(
        messages=said("hello"),
        upstream_response={"tool_calls": calls},
        endpoint=endpoint,
        stream=stream,
    )
    assert run(wanted, verdict="block", policy="agent-firewall").outcome is CaseOutcome.PASS


@pytest.mark.parametrize("stream", [False, True])
def test_tools_of_mcp_servers_are_governed(stream: bool) -> None:
    def call(tool: str, response: Any = None) -> CaseInput:
        return CaseInput(
            request={"method": "tools/call", "params": {"name": tool, "arguments": {}}},
            upstream_response=response,
            endpoint="/mcp/files",
            stream=stream,
        )

    assert run(call("delete_all"), verdict="block").outcome is CaseOutcome.PASS
    kept = run(call("read", "gold"), verdict="allow", response_contains="gold")
    assert kept.outcome is CaseOutcome.PASS, (kept.why, kept.mismatches)
    assert run(call("read", "aurora"), verdict="block").outcome is CaseOutcome.PASS
    result = {"content": [{"type": "text", "text": "aurora"}], "isError": False}
    assert run(call("read", result), verdict="block").outcome is CaseOutcome.PASS
    error = {"error": {"code": -32000, "message": "no aurora here"}}
    assert run(call("read", error), verdict="block").outcome is CaseOutcome.PASS


def test_a_server_that_is_not_configured_is_an_error_of_the_case() -> None:
    wanted = CaseInput(request={"method": "tools/list"}, endpoint="/mcp/other")
    result = run(wanted, verdict="allow")
    assert result.outcome is CaseOutcome.ERROR
    assert "No such MCP server" in (result.why or "")


def test_an_error_of_the_provider_is_answered_in_its_own_words() -> None:
    wanted = CaseInput(
        messages=said("hello"),
        upstream_response={"status": 529, "error": "aurora is overloaded"},
        endpoint="/v1/messages",
    )
    case = Case(name="case", input=wanted, expected=CaseExpected(verdict="redact"))
    carried = carry(put_in_force(REDACTING), case, 1)
    assert carried.status == 529
    answer = msgspec.json.decode(carried.body)
    assert answer["error"]["type"] == "overloaded_error"
    assert "aurora" not in visible_text(carried.body, streamed=False)


def test_a_whole_document_is_answered_as_it_stands_and_not_streamed() -> None:
    document = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": "aurora"}],
    }
    wanted = CaseInput(messages=said("hello"), upstream_response=document, endpoint="/v1/messages")
    assert run(wanted, verdict="block").outcome is CaseOutcome.PASS
    result = run(msgspec.structs.replace(wanted, stream=True), verdict="block")
    assert result.outcome is CaseOutcome.ERROR
    assert "cannot be streamed" in (result.why or "")


def test_words_that_the_simulator_does_not_know_the_shape_of_are_named() -> None:
    wanted = CaseInput(
        messages=said("hello"), upstream_response={"text": 1}, endpoint="/v1/responses"
    )
    result = run(wanted, verdict="allow")
    assert result.outcome is CaseOutcome.ERROR
    assert "upstream_response" in (result.why or "")


def test_a_dialect_that_no_target_speaks_can_be_tested_all_the_same() -> None:
    only_openai = parse_config(
        SOURCE.replace("ACTION", "block").replace(
            "policies:",
            "providers: {targets: [{id: o, provider: openai, model: gpt-4o-mini}]}\npolicies:",
        )
    )
    wanted = CaseInput(messages=said("about gold"), endpoint="/v1/messages")
    assert run(wanted, config=only_openai, verdict="allow").outcome is CaseOutcome.PASS
