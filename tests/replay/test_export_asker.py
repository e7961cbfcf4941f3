"""The program that every export asks the gateway with: what it sees, and what it makes of it."""

from __future__ import annotations

import importlib.util
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import ModuleType
from typing import Any

import pytest

from kintsugi.replay.exports.asked import asker
from kintsugi.replay.visible_text import visible_text

BLOCKED = {
    "error": {
        "message": "Stopped.",
        "type": "policy_violation",
        "code": "input_blocked",
        "policy": "prompt-injection",
        "reason_code": "prompt_injection.detected",
    }
}
REQUEST = {"endpoint": "/v1/chat/completions", "headers": {"X-User-ID": "u1"}, "body": {}}


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_loader("kintsugi_gateway", loader=None)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    exec(asker().text, module.__dict__)  # noqa: S102  # as it leaves with an export
    return module


class Gateway(HTTPServer):
    """Answers what it is told to, and keeps what it was asked."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b""
        self.asked: list[tuple[str, dict[str, str], Any]] = []


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            names = {name.lower(): value for name, value in self.headers.items()}
            server.asked.append((self.path, names, body))
            self.send_response(server.status)
            for name, value in server.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(server.body)

        def log_message(self, *args: Any) -> None:
            pass

    server = Gateway(Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("KT_GATEWAY_URL", f"http://127.0.0.1:{server.server_port}/")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_block_is_seen_with_its_policy_and_reason(program: ModuleType, gateway: Gateway) -> None:
    gateway.status, gateway.body = 409, json.dumps(BLOCKED).encode()
    gateway.headers = {"x-kt-decision": "block"}
    seen = program.ask(REQUEST)
    assert (seen["status"], seen["verdict"]) == (409, "block")
    assert seen["policy"] == "prompt-injection"
    expected = {"verdict": "block", "reason_code": "prompt_injection.detected"}
    assert program.mismatches(expected, seen) == []
    assert program.mismatches({"verdict": "allow"}, seen) == ["expected verdict allow, got block"]


def test_a_stream_is_joined_and_its_last_word_counts(program: ModuleType, gateway: Gateway) -> None:
    pieces = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in ("bor", "ealis")]
    frames = "".join(f"data: {json.dumps(piece)}\n\n" for piece in pieces)
    gateway.body = f"{frames}: kt decision=redact overhead_ms=1.000\n\ndata: [DONE]\n\n".encode()
    gateway.headers = {"x-kt-decision": "allow", "content-type": "text/event-stream"}
    seen = program.ask(REQUEST)
    assert seen["verdict"] == "redact"
    assert seen["text"] == visible_text(gateway.body, streamed=True) == "borealis"
    assert program.mismatches({"response_excludes": "borealis"}, seen)
    assert program.mismatches({"response_contains": "aurora"}, seen)


def test_why_an_mcp_tool_was_stopped_is_found(program: ModuleType, gateway: Gateway) -> None:
    told = {"code": "tool_blocked", "policy": "agent-firewall", "reason_code": "tool.denied"}
    result = {"isError": True, "content": [], "_meta": {"kintsugi/policy_violation": told}}
    gateway.body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode()
    gateway.headers = {"x-kt-decision": "block"}
    seen = program.ask({"endpoint": "/mcp/files", "headers": {}, "body": {"id": 1}})
    assert (seen["policy"], seen["reason_code"]) == ("agent-firewall", "tool.denied")
    _, headers, body = gateway.asked[0]
    assert headers["accept"] == "application/json, text/event-stream"
    assert "model" not in body


@pytest.mark.parametrize(
    ("status", "headers"), [(404, {"x-kt-decision": "allow"}), (200, {}), (502, {})]
)
def test_what_no_policy_judged_could_not_run(
    program: ModuleType, gateway: Gateway, status: int, headers: dict[str, str]
) -> None:
    gateway.status, gateway.headers, gateway.body = status, headers, b'{"error": {"code": "x"}}'
    with pytest.raises(program.GatewayRefused):
        program.ask(REQUEST)
    assert "GatewayRefused" in program.call_api(json.dumps(REQUEST), {}, {})["error"]


def test_key_and_model_come_from_the_environment(
    program: ModuleType, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KT_GATEWAY_KEY", "key-1")
    monkeypatch.setenv("KT_GATEWAY_MODEL", "gpt-x")
    gateway.headers, gateway.body = {"x-kt-decision": "allow"}, b'{"a": ["one", "two"]}'
    told = json.loads(program.call_api(json.dumps(REQUEST), {}, {})["output"])
    assert told["text"] == "one\ntwo"
    path, headers, body = gateway.asked[0]
    assert path == "/v1/chat/completions"
    assert headers["authorization"] == "Bearer key-1"
    assert headers["x-user-id"] == "u1"
    assert body == {"model": "gpt-x"}
