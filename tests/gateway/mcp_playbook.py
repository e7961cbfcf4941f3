"""Feed an MCP exchange events and look at the commands."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from kintsugi.gateway import commands as c
from kintsugi.gateway import events as e
from kintsugi.gateway.in_force import InForce, Secret
from kintsugi.gateway.mcp_exchange import McpExchange
from kintsugi.model.event import DecisionEvent
from kintsugi.policy.parse import parse_config
from kintsugi.policy.plan import compile_plan
from tests.gateway.playbook import EVENT_ID, MS, NOW

SERVERS = "[{id: tools, url: 'http://127.0.0.1:9/mcp', allow_private_network: true}]"
JSON = (b"content-type", b"application/json")
EVENTS = b"text/event-stream"


def mcp_in_force(
    *policies: str,
    gateway: str = "",
    servers: str = SERVERS,
    more: str = "",
    enabled: bool = True,
    secrets: dict[str, Secret] | None = None,
) -> InForce:
    """A compiled configuration with these MCP servers and policy blocks."""
    policies = policies or ("audit-logger: {}",)
    kinds = ", ".join(policy.partition(":")[0] for policy in policies)
    blocks = "".join(f"  {policy}\n" for policy in policies)
    source = (
        f"pack: {{name: demo, version: 1.4.0, enabled: {str(enabled).lower()}}}\n"
        f"gateway: {{{gateway}}}\n"
        "providers: {targets: [{id: sim, provider: simulator}]}\n"
        f"mcp: {{servers: {servers}{more}}}\n"
        f"policies: {{chain: [{kinds}]}}\n"
        f"policy:\n{blocks}"
    )
    return InForce(
        plan=compile_plan(parse_config(source)),
        config_version="demo@7",
        gateway_id="gw-1",
        worker_id="w-1",
        engine_version="0.1.0",
        fingerprint_key=b"key of the tests",
        simulator_url="http://127.0.0.1:9999",
        secrets=secrets,
    )


def asking(method: str, number: Any = 1, **params: Any) -> bytes:
    """A request."""
    document: dict[str, Any] = {"jsonrpc": "2.0", "id": number, "method": method}
    if params:
        document["params"] = params
    return json.dumps(document).encode()


def call(tool: str = "look_up", number: Any = 1, **arguments: Any) -> bytes:
    """A request that calls a tool."""
    return asking("tools/call", number, name=tool, arguments=arguments)


def telling(method: str, **params: Any) -> bytes:
    """A notification."""
    return json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode()


def result(number: Any = 1, **fields: Any) -> bytes:
    """An answer."""
    return json.dumps({"jsonrpc": "2.0", "id": number, "result": fields}).encode()


def said(text: str, number: Any = 1, **more: Any) -> bytes:
    """The answer of a tool that says one text."""
    return result(number, content=[{"type": "text", "text": text}], **more)


def event(data: bytes, event_id: str = "") -> bytes:
    """One event of a stream."""
    head = f"id: {event_id}\n".encode() if event_id else b""
    return head + b"event: message\ndata: " + data + b"\n\n"


def data_of(stream: bytes) -> list[Any]:
    """The messages of a stream."""
    lines = (line for line in stream.split(b"\n") if line.startswith(b"data: "))
    return [json.loads(line[6:]) for line in lines if line[6:].strip()]


Wanted = TypeVar("Wanted")


class McpPlaybook:
    """One exchange, its events a millisecond apart, and every command that it gave."""

    def __init__(self, configuration: InForce, *, listeners: int = 0) -> None:
        self.exchange = McpExchange(configuration, lambda: listeners)
        self.commands: list[c.Command] = []
        self.at_ns = 0

    def tick(self) -> int:
        self.at_ns += MS
        return self.at_ns

    def step(self, happened: e.Event) -> list[c.Command]:
        commands = self.exchange.step(happened)
        self.commands += commands
        return commands

    def request(
        self,
        body: bytes = b"",
        *,
        headers: e.Headers | None = None,
        target: bytes = b"/mcp/tools",
        method: bytes = b"POST",
        plain: bool = False,
    ) -> list[c.Command]:
        usual = [] if plain else [JSON, (b"accept", b"application/json, text/event-stream")]
        return self.step(
            e.RequestReceived(
                self.tick(), EVENT_ID, NOW, method, target, usual + (headers or []), body
            )
        )

    def admitted(self) -> list[c.Command]:
        return self.step(e.AdmissionDurable(self.tick()))

    def head(
        self, status: int = 200, kind: bytes = b"application/json", *more: tuple[bytes, bytes]
    ) -> list[c.Command]:
        return self.step(e.UpstreamHead(self.tick(), status, [(b"content-type", kind), *more]))

    def data(self, data: bytes, *, ended: bool = False) -> list[c.Command]:
        return self.step(e.UpstreamData(self.tick(), data, ended))

    def end(self) -> list[c.Command]:
        return self.step(e.UpstreamEnd(self.tick()))

    def durable(self) -> list[c.Command]:
        return self.step(e.RecordDurable(self.tick()))

    def answered(
        self, body: bytes, *, status: int = 200, head: tuple[bytes, bytes] | None = None
    ) -> McpPlaybook:
        """The whole way of an answer that is one JSON document."""
        self.admitted()
        self.head(status, b"application/json", *([head] if head else []))
        self.data(body, ended=True)
        self.durable()
        return self

    def streamed(self, *pieces: bytes) -> McpPlaybook:
        """The whole way of a streamed answer."""
        self.admitted()
        self.head(200, EVENTS)
        for piece in pieces:
            self.data(piece)
        self.end()
        self.durable()
        return self

    def sent(self, kind: type[Wanted]) -> list[Wanted]:
        return [command for command in self.commands if isinstance(command, kind)]

    @property
    def call(self) -> c.CallUpstream:
        (found,) = self.sent(c.CallUpstream)
        return found

    @property
    def answer(self) -> c.Answer:
        (found,) = self.sent(c.Answer)
        return found

    @property
    def document(self) -> Any:
        """The answer as JSON."""
        return json.loads(self.answer.body)

    @property
    def record(self) -> DecisionEvent:
        (found,) = self.sent(c.Record)
        return found.event

    @property
    def stream(self) -> bytes:
        """Everything that the client got of a stream, whether it left in pieces or whole."""
        whole = b"".join(command.body for command in self.sent(c.Answer))
        return whole + b"".join(command.data for command in self.sent(c.SendData))


def header(headers: e.Headers, name: bytes) -> bytes:
    """One header; empty when it is not there."""
    return dict(headers).get(name, b"")
