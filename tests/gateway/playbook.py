"""Feed an exchange events and look at the commands: no socket, no clock, no journal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from kintsugi.gateway import commands as c
from kintsugi.gateway import events as e
from kintsugi.gateway.exchange import Exchange
from kintsugi.gateway.in_force import InForce, Secret
from kintsugi.model.event import DecisionEvent
from kintsugi.policy.parse import parse_config
from kintsugi.policy.plan import compile_plan

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
EVENT_ID = "019aa5e0-0000-7000-8000-000000000001"
CHAT = b"/v1/chat/completions"
MS = 1_000_000

TARGETS = "[{id: sim, provider: simulator, model: sim-echo}]"
# STOPME is blocked, in both directions, in every mode.
BLOCKING = 'dlp-filter: {action: block, detect_patterns: ["STOPME"]}'
# Numbers such as 123-45-6789 are redacted.
REDACTING = r"""dlp-filter: {action: redact, detect_patterns: ['\d{3}-\d{2}-\d{4}']}"""
FLAGGING = r"""dlp-filter: {action: flag, detect_patterns: ['\d{3}-\d{2}-\d{4}', STOPME]}"""


def in_force(
    *policies: str,
    gateway: str = "",
    targets: str = TARGETS,
    enabled: bool = True,
    secrets: Mapping[str, Secret] | None = None,
    simulator_url: str = "http://127.0.0.1:9999",
) -> InForce:
    """A compiled configuration with these policy blocks, in this order; an audit log if none."""
    policies = policies or ("audit-logger: {}",)
    kinds = ", ".join(policy.partition(":")[0] for policy in policies)
    blocks = "".join(f"  {policy}\n" for policy in policies)
    source = (
        f"pack: {{name: demo, version: 1.4.0, enabled: {str(enabled).lower()}}}\n"
        f"gateway: {{{gateway}}}\n"
        f"providers: {{targets: {targets}}}\n"
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
        simulator_url=simulator_url,
        secrets=secrets,
    )


def chat(
    content: Any = "hello", *, stream: bool = False, model: str = "sim-echo", **more: Any
) -> bytes:
    """The body of a request with one user message."""
    body = {"model": model, "messages": [{"role": "user", "content": content}], **more}
    if stream:
        body["stream"] = True
    return json.dumps(body).encode()


def completion(content: Any = "hi", *, choices: Sequence[Any] = (), **more: Any) -> bytes:
    """The body of a whole answer."""
    messages = choices or [{"role": "assistant", "content": content}]
    document = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "sim-echo-1",
        "choices": [
            {"index": index, "message": message, "finish_reason": "stop"}
            for index, message in enumerate(messages)
        ],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
        **more,
    }
    return json.dumps(document).encode()


def frame(delta: Any, *, choice: int = 0, finish: str | None = None, **more: Any) -> bytes:
    """One frame of a stream."""
    document = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "sim-echo-1",
        "choices": [{"index": choice, "delta": delta, "finish_reason": finish}],
        **more,
    }
    return b"data: " + json.dumps(document).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def stream_of(*texts: str, choice: int = 0) -> bytes:
    """A whole stream that says these texts, one per frame."""
    frames = [frame({"role": "assistant", "content": ""}, choice=choice)]
    frames += [frame({"content": text}, choice=choice) for text in texts]
    return b"".join([*frames, frame({}, choice=choice, finish="stop"), DONE])


def contents(stream: bytes) -> dict[str, str]:
    """What a client puts together from a stream: text by choice and field."""
    said: dict[str, str] = {}
    lines = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for piece in lines.split(b"\n\n"):
        if not piece.startswith(b"data: ") or piece == b"data: [DONE]":
            continue
        for one in json.loads(piece[6:]).get("choices", []):
            for key, value in one["delta"].items():
                if key == "tool_calls":
                    for call in value:
                        at = f"{one['index']}/{call['index']}"
                        said[at] = said.get(at, "") + call["function"].get("arguments", "")
                elif key != "role" and isinstance(value, str):
                    at = f"{one['index']}/{key}"
                    said[at] = said.get(at, "") + value
    return {at: text for at, text in said.items() if text}


Wanted = TypeVar("Wanted")


class Playbook:
    """One exchange, its events a millisecond apart, and every command that it gave."""

    def __init__(self, configuration: InForce) -> None:
        self.exchange = Exchange(configuration)
        self.commands: list[c.Command] = []
        self.at_ns = 0

    def tick(self, milliseconds: int = 1) -> int:
        self.at_ns += milliseconds * MS
        return self.at_ns

    def step(self, event: e.Event) -> list[c.Command]:
        commands = self.exchange.step(event)
        self.commands += commands
        return commands

    def request(
        self,
        body: bytes | None = None,
        *,
        headers: e.Headers | None = None,
        target: bytes = CHAT,
        method: bytes = b"POST",
    ) -> list[c.Command]:
        return self.step(
            e.RequestReceived(
                self.tick(),
                EVENT_ID,
                NOW,
                method,
                target,
                headers or [],
                chat() if body is None else body,
            )
        )

    def admitted(self) -> list[c.Command]:
        return self.step(e.AdmissionDurable(self.tick()))

    def head(
        self,
        status: int = 200,
        content_type: bytes = b"application/json",
        *more: tuple[bytes, bytes],
        called_at_ns: int = 0,
    ) -> list[c.Command]:
        headers = [(b"content-type", content_type), *more]
        return self.step(e.UpstreamHead(self.tick(), status, headers, called_at_ns=called_at_ns))

    def data(self, data: bytes) -> list[c.Command]:
        return self.step(e.UpstreamData(self.tick(), data))

    def end(self) -> list[c.Command]:
        return self.step(e.UpstreamEnd(self.tick()))

    def failed(self, code: str = "upstream.reset") -> list[c.Command]:
        return self.step(e.UpstreamFailed(self.tick(), code))

    def recorded(self) -> list[c.Command]:
        return self.step(e.RecordDurable(self.tick()))

    def exchange_of(self, answer: bytes, status: int = 200) -> c.Answer:
        """Play an exchange with a whole answer from here to its end."""
        self.admitted()
        self.head(status)
        self.data(answer)
        self.end()
        self.recorded()
        return self.only(c.Answer)

    def streamed(self, chunks: Sequence[bytes]) -> bytes:
        """Play a streamed answer from here to its end; return what the client got."""
        self.admitted()
        self.head(200, b"text/event-stream; charset=utf-8")
        for chunk in chunks:
            self.data(chunk)
        self.end()
        self.recorded()
        return self.sent()

    def sent(self) -> bytes:
        """Every body byte that left for the client."""
        return b"".join(
            command.body if isinstance(command, c.Answer) else command.data
            for command in self.commands
            if isinstance(command, c.Answer | c.SendData)
        )

    def all(self, kind: type[Wanted]) -> list[Wanted]:
        return [command for command in self.commands if isinstance(command, kind)]

    def only(self, kind: type[Wanted]) -> Wanted:
        (found,) = self.all(kind)
        return found

    @property
    def event(self) -> DecisionEvent:
        """The record."""
        return self.only(c.Record).event

    def header(self, name: bytes) -> bytes:
        """A header of the answer."""
        (answer,) = [x for x in self.commands if isinstance(x, c.Answer | c.StartStream)]
        return dict(answer.headers)[name]


def error_of(answer: c.Answer) -> dict[str, Any]:
    """The error that a refusal or block carries."""
    error: dict[str, Any] = json.loads(answer.body)["error"]
    return error


def kinds_of(commands: Sequence[c.Command]) -> list[str]:
    """The names of commands, for a glance."""
    return [type(command).__name__ for command in commands]
