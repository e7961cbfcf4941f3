"""Where a test case may go: what its words mean there as a request, and who answers it.

OpenAI chat has a provider of its own, which streams any document that a case writes down. At the
other endpoints the simulator answers, so that a case gets what ``kt simulate`` would send.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol

import msgspec

from kintsugi.model.config import CASE_ENDPOINT, MCP_ENDPOINT, CaseInput, Target
from kintsugi.replay import provider
from kintsugi.simulator import (
    anthropic_count_tokens,
    anthropic_messages,
    openai_embeddings,
    openai_responses,
)
from kintsugi.simulator.mcp import McpSimulator
from kintsugi.simulator.script import McpScript, Response, Usage

_NAME: Final = "case"
_CREATED: Final = 1_700_000_000
_MAX_TOKENS: Final = 1024
_SAID: Final = frozenset(Response.__struct_fields__)

#: What a case may give as the answer: nothing, a text, or a document.
Stated = dict[str, Any] | str | None


class CaseUnusable(Exception):
    """A case asks for what its endpoint cannot do; the message says what to write instead."""


class Reply(msgspec.Struct, frozen=True):
    """What upstream answers: one body, or the frames of a stream."""

    status: int
    content_type: bytes
    pieces: Iterator[bytes]


class _Simulator(Protocol):
    """One of the simulator's dialects."""

    @property
    def parse_request(self) -> Callable[[bytes], Any]: ...

    @property
    def whole(self) -> Callable[[Any, Response, str, int], dict[str, Any]]: ...

    @property
    def frames(self) -> Callable[[Any, Response, str, int], Iterator[tuple[str, bytes]]]: ...

    @property
    def error_document(self) -> Callable[[int, str], dict[str, Any]]: ...


_SIMULATORS: Final[Mapping[str, _Simulator]] = MappingProxyType(
    {
        "/v1/responses": openai_responses,
        "/v1/embeddings": openai_embeddings,
        "/v1/messages": anthropic_messages,
        "/v1/messages/count_tokens": anthropic_count_tokens,
    }
)


def family_of(endpoint: str) -> str:
    """What the providers are called that serve an endpoint; empty for MCP servers."""
    if endpoint.startswith(MCP_ENDPOINT):
        return ""
    return "anthropic" if endpoint.startswith("/v1/messages") else "openai"


def request_of(wanted: CaseInput, targets: tuple[Target, ...]) -> dict[str, Any]:
    """The body of the request that a case means.

    Args:
        targets: of the configuration; the first with a model that speaks the dialect gives the
            model where the case names none.
    """
    own = wanted.request or {}
    if wanted.endpoint.startswith(MCP_ENDPOINT):
        return {"jsonrpc": "2.0", "id": 1, **own}
    families = (family_of(wanted.endpoint), "simulator")
    models = (one.model for one in targets if one.model and one.provider in families)
    body: dict[str, Any] = {"model": next(models, "sim-echo")}
    if wanted.endpoint == "/v1/messages":
        body["max_tokens"] = _MAX_TOKENS
    if wanted.messages:
        body |= _conversation(wanted.endpoint, list(wanted.messages))
    body |= own
    if wanted.stream:
        body["stream"] = True
    return body


def reply_to(endpoint: str, sent: bytes, stated: Stated, *, streamed: bool) -> Reply:
    """What upstream answers to the request as it arrived there.

    Raises:
        CaseUnusable: what the case states cannot be answered here.
        BadRequest: what was sent is no request of this endpoint.
    """
    if endpoint == CASE_ENDPOINT:
        request = msgspec.json.decode(sent)
        if streamed:
            return Reply(200, b"text/event-stream", provider.stream(request, stated))
        return _one(200, provider.answer(request, stated))
    if endpoint.startswith(MCP_ENDPOINT):
        return _from_server(sent, stated, streamed=streamed)
    return _simulated(_SIMULATORS[endpoint], sent, stated, streamed=streamed)


def _conversation(endpoint: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
    if endpoint == "/v1/responses":
        return {"input": messages}
    if endpoint == "/v1/embeddings":
        return {"input": [message.get("content") for message in messages]}
    return {"messages": messages}


def _simulated(simulator: _Simulator, sent: bytes, stated: Stated, *, streamed: bool) -> Reply:
    request = simulator.parse_request(sent)
    if isinstance(stated, dict) and not _SAID.issuperset(stated):
        if streamed:
            raise CaseUnusable(
                "a whole document cannot be streamed here; state text, reasoning, refusal or "
                "tool_calls as upstream_response"
            )
        return _one(200, msgspec.json.encode(stated))
    response = _response(stated)
    if response.status != 200:
        error = simulator.error_document(response.status, response.error)
        return _one(response.status, msgspec.json.encode(error))
    if not streamed:
        document = simulator.whole(request, response, _NAME, _CREATED)
        return _one(200, msgspec.json.encode(document))
    frames = simulator.frames(request, response, _NAME, _CREATED)
    return Reply(200, b"text/event-stream", (_frame(*frame) for frame in frames))


def _response(stated: Stated) -> Response:
    """What the simulator is to say; without usage, so that a case counts as no tokens."""
    if stated is None:
        said: dict[str, Any] = {}
    elif isinstance(stated, str):
        said = {"chunks": provider.pieces(stated)}
    else:
        said = stated
    try:
        response = msgspec.convert(said, Response)
    except msgspec.ValidationError as error:
        raise CaseUnusable(f"upstream_response: {error}") from None
    changes: dict[str, Any] = {"usage": response.usage or Usage(0, 0)}
    if not response.chunk_chars:
        changes["chunk_chars"] = provider.PIECE_CHARS
    return msgspec.structs.replace(response, **changes)


def _from_server(sent: bytes, stated: Stated, *, streamed: bool) -> Reply:
    """An MCP server's answer: a text or a document is the result of what was asked."""
    simulator = McpSimulator(McpScript())
    message = simulator.read(sent)
    if message.id is None:
        return Reply(202, b"application/json", iter(()))
    if stated is None:
        answer = simulator.answer(message)
    elif isinstance(stated, dict) and ("result" in stated or "error" in stated):
        answer = {"jsonrpc": "2.0", "id": message.id, **stated}
    else:
        result = stated
        if isinstance(stated, str):
            result = {"content": [{"type": "text", "text": stated}]}
        answer = {"jsonrpc": "2.0", "id": message.id, "result": result}
    body = msgspec.json.encode(answer)
    if streamed:
        return Reply(200, b"text/event-stream", iter((_frame("message", body),)))
    return _one(200, body)


def _one(status: int, body: bytes) -> Reply:
    return Reply(status, b"application/json", iter((body,)))


def _frame(name: str, data: bytes) -> bytes:
    head = b"event: " + name.encode() + b"\n" if name else b""
    return head + b"data: " + data + b"\n\n"
