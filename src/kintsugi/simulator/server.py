"""The simulator's HTTP server: asyncio streams of bytes over llhttp, nothing between.

``run`` serves until SIGINT or SIGTERM; ``serve`` is the same inside somebody's event loop.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, cast

import httptools
import msgspec
import uvloop

from kintsugi.simulator import (
    anthropic_count_tokens,
    anthropic_messages,
    openai_chat,
    openai_embeddings,
    openai_responses,
)
from kintsugi.simulator.mcp import McpSimulator
from kintsugi.simulator.mcp_endpoint import McpEndpoint
from kintsugi.simulator.script import BUILT_IN, BadRequest, Response, Script, load_script

_BODY_BYTES_MAX = 64 * 1024 * 1024
_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    529: "Overloaded",
}
_MODEL_PATHS = frozenset({b"/v1/models", b"/models"})
_HEALTH_PATHS = frozenset({b"/health", b"/healthz"})


class Asked(Protocol):
    """A request that was read."""

    @property
    def stream(self) -> bool | None:
        """Whether the answer is wanted as server-sent events."""


class Endpoint(Protocol):
    """One dialect from the provider's side, as a module; pure. ``name`` is what the answer's id
    ends with, ``created`` its Unix time in seconds."""

    def parse_request(self, body: bytes) -> Any:
        """Read a request. Raises ``BadRequest``."""

    def choose(self, script: Script, request: Any) -> Response:
        """The script's response to it."""

    def whole(self, request: Any, response: Response, name: str, created: int) -> dict[str, Any]:
        """The answer as one document."""

    def frames(
        self, request: Any, response: Response, name: str, created: int
    ) -> Iterator[tuple[str, bytes]]:
        """The answer as server-sent events: the event's name, which may be empty, and its data."""

    def error_document(self, status: int, message: str) -> dict[str, Any]:
        """An error's body."""


_ENDPOINTS: dict[bytes, Endpoint] = {
    b"/chat/completions": openai_chat,
    b"/responses": openai_responses,
    b"/embeddings": openai_embeddings,
    b"/messages": anthropic_messages,
    b"/messages/count_tokens": anthropic_count_tokens,
}


def run(listen: str, script: Path | None = None) -> int:
    """Serve until told to stop; prints the address on standard output.

    Args:
        listen: ``HOST:PORT``; port 0 takes a free one.

    Returns:
        An exit code: 0 after SIGINT or SIGTERM, 1 when its script cannot be used.

    Raises:
        OSError: the address cannot be used.
    """
    try:
        loaded = Script() if script is None else load_script(script)
        host, port = _split(listen)
    except ValueError as error:
        print(f"kt simulate: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return uvloop.run(_run(host, port, loaded))


async def serve(
    host: str, port: int, script: Script, *, clock: Callable[[], float] = time.time
) -> asyncio.Server:
    """Listen inside the running loop.

    Raises:
        OSError: the address cannot be used.
    """
    loop = asyncio.get_running_loop()
    mcp = McpEndpoint(McpSimulator(script.mcp))
    return await loop.create_server(lambda: SimulatorProtocol(script, clock, mcp), host, port)


def url_of(server: asyncio.Server) -> str:
    """Where a server listens: ``http://HOST:PORT``."""
    host, port = server.sockets[0].getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _run(host: str, port: int, script: Script) -> int:
    server = await serve(host, port, script)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    print(f"simulator listens on {url_of(server)}", flush=True)  # noqa: T201
    await stopped.wait()
    server.close()
    return 0


def _split(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f'"{listen}" is no address; use HOST:PORT, such as 127.0.0.1:41003')
    return host.strip("[]") or "127.0.0.1", int(port)


class _Request(msgspec.Struct, frozen=True):
    """One request, whole."""

    method: bytes
    path: bytes
    headers: dict[bytes, bytes]
    body: bytes
    too_large: bool
    keep_alive: bool


class SimulatorProtocol(asyncio.Protocol):
    """One client connection; requests on it are answered in turn."""

    def __init__(self, script: Script, clock: Callable[[], float], mcp: McpEndpoint) -> None:
        self._script = script
        self._clock = clock
        self._mcp = mcp
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[_Request] = deque()
        self._keep_alive = True
        self._answering: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._body_bytes = 0

    # asyncio calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        # Not checked with isinstance: uvloop's transports are not asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _error: Exception | None) -> None:
        """It is gone; what was being answered is dropped."""
        self._transport = None
        self._writable.set()
        if self._answering is not None:
            self._answering.cancel()

    def pause_writing(self) -> None:
        """The client reads slowly."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The client has read on."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._close()
        except httptools.HttpParserError as error:
            self._send(400, openai_chat.error_document(400, f"malformed HTTP: {error}"))
            self._close()

    # httptools calls these

    def on_message_begin(self) -> None:
        """A request begins."""
        self._url = b""
        self._headers = {}
        self._body = []
        self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        """A piece of its target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers[name.lower()] = value
        if name.lower() == b"expect" and value.lower() == b"100-continue":
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """A piece of its body."""
        self._body_bytes += len(body)
        if self._body_bytes <= _BODY_BYTES_MAX:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._waiting.append(
            _Request(
                method=self._parser.get_method(),
                path=self._url.partition(b"?")[0],
                headers=self._headers,
                body=b"".join(self._body),
                too_large=self._body_bytes > _BODY_BYTES_MAX,
                keep_alive=self._parser.should_keep_alive(),
            )
        )
        if self._answering is None:
            self._answer_next()

    # Answers

    def _answer_next(self) -> None:
        """Answer what waits until one takes time; its end comes back here."""
        while self._waiting and self._transport is not None:
            request = self._waiting.popleft()
            self._keep_alive = request.keep_alive
            self._answering = self._answer(request)
            if self._answering is not None:
                self._answering.add_done_callback(self._answered)
                return
            self._close_unless_kept_alive()

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._answering = None
        self._close_unless_kept_alive()
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
        self._answer_next()

    def _answer(self, request: _Request) -> asyncio.Task[None] | None:
        """Answer at once, or begin to."""
        path = request.path
        endpoint = _ENDPOINTS.get(path.removeprefix(b"/v1"))
        if request.too_large:
            self._send(413, openai_chat.error_document(413, "the body is too large"))
        elif path == b"/mcp":
            return asyncio.get_running_loop().create_task(
                self._mcp.answer(request.method, request.headers, request.body, self._write)
            )
        elif endpoint is not None and request.method == b"POST":
            return self._answer_model(endpoint, request.body)
        elif path in _MODEL_PATHS and request.method == b"GET":
            self._send(200, openai_chat.models(list(BUILT_IN), created=int(self._clock())))
        elif path in _HEALTH_PATHS and request.method == b"GET":
            self._send(200, {"status": "healthy"})
        elif endpoint is not None or path in _MODEL_PATHS | _HEALTH_PATHS:
            self._send(405, openai_chat.error_document(405, "Not allowed here"))
        else:
            word = f"Unknown request URL: {path.decode('ascii', 'replace')}"
            self._send(404, openai_chat.error_document(404, word))
        return None

    def _answer_model(self, endpoint: Endpoint, body: bytes) -> asyncio.Task[None] | None:
        try:
            request = endpoint.parse_request(body)
        except BadRequest as error:
            self._send(400, endpoint.error_document(400, str(error)))
            return None
        response = endpoint.choose(self._script, request)
        if not request.stream and not response.delay_ms:
            self._send_whole(endpoint, request, response)
            return None
        return asyncio.get_running_loop().create_task(self._take_time(endpoint, request, response))

    async def _take_time(self, endpoint: Endpoint, request: Asked, response: Response) -> None:
        if response.delay_ms:
            await asyncio.sleep(response.delay_ms / 1000)
        if request.stream and response.status == 200:
            await self._send_stream(endpoint, request, response)
        else:
            self._send_whole(endpoint, request, response)

    def _send_whole(self, endpoint: Endpoint, request: Asked, response: Response) -> None:
        if response.status != 200:
            document = endpoint.error_document(response.status, response.error)
            self._send(response.status, document, retry_after=response.retry_after_seconds)
            return
        document = endpoint.whole(request, response, _name(), int(self._clock()))
        body = msgspec.json.encode(document)
        if response.malformed:
            body = body[: len(body) // 2] + b"<html>"
        answer = _head(200, b"application/json", len(body)) + body
        if response.break_after_chunks is None:
            self._write(answer)
        else:
            self._write(answer[: -len(body) // 2])
            self._close()

    async def _send_stream(self, endpoint: Endpoint, request: Asked, response: Response) -> None:
        self._write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
            b"cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for sent, frame in enumerate(self._frames(endpoint, request, response)):
            chunk = b"%x\r\n%b\r\n" % (len(frame), frame)
            if sent == response.break_after_chunks:
                self._write(chunk[: len(chunk) // 2])
                self._close()
                return
            if response.chunk_delay_ms and sent:
                await asyncio.sleep(response.chunk_delay_ms / 1000)
            self._write(chunk)
            await self._writable.wait()
        self._write(b"0\r\n\r\n")

    def _frames(self, endpoint: Endpoint, request: Asked, response: Response) -> Iterator[bytes]:
        frames = endpoint.frames(request, response, _name(), int(self._clock()))
        for number, (event, data) in enumerate(frames):
            if response.malformed and number == 1:
                data = data[: len(data) // 2]
            head = b"event: %b\n" % event.encode() if event else b""
            yield b"%bdata: %b\n\n" % (head, data)

    def _send(
        self, status: int, document: dict[str, Any], *, retry_after: int | None = None
    ) -> None:
        body = msgspec.json.encode(document)
        head = _head(status, b"application/json", len(body), retry_after=retry_after)
        self._write(head + body)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _close_unless_kept_alive(self) -> None:
        if not self._keep_alive:
            self._waiting.clear()
            self._close()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _head(
    status: int, content_type: bytes, length: int, *, retry_after: int | None = None
) -> bytes:
    reason = _REASONS.get(status, "Error").encode()
    name = _name().encode()  # OpenAI and Anthropic call the header by different names
    head = (
        b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n"
        b"x-request-id: req_%b\r\nrequest-id: req_%b\r\n"
        % (status, reason, content_type, length, name, name)
    )
    if retry_after is not None:
        head += b"retry-after: %d\r\n" % retry_after
    return head + b"\r\n"


def _name() -> str:
    return os.urandom(14).hex()
