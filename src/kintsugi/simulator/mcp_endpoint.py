"""``/mcp`` of the simulator: HTTP around ``mcp.py``, with streams, sessions and questions."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from kintsugi.simulator.mcp import INVALID_PARAMS, McpMessage, McpSimulator, event, failed, notice
from kintsugi.simulator.script import BadRequest, McpTool

_ANSWER_SECONDS = 30.0
_encode = msgspec.json.Encoder().encode

Write = Callable[[bytes], None]


class McpEndpoint:
    """Shared by all connections: a question on one is answered on another."""

    def __init__(self, simulator: McpSimulator) -> None:
        self._simulator = simulator
        self._numbers = itertools.count(1)
        self._questions: dict[tuple[str, str], asyncio.Future[str]] = {}

    async def answer(
        self, method: bytes, headers: Mapping[bytes, bytes], body: bytes, write: Write
    ) -> None:
        """Answer one request; a stream goes on until the client leaves.

        Args:
            headers: names in lower case.
            write: sends bytes to the client.
        """
        session = headers.get(b"mcp-session-id", b"").decode("latin-1")
        if method == b"POST":
            await self._post(headers, session, body, write)
        elif not self._simulator.knows(session):
            _send(write, 404, failed(None, INVALID_PARAMS, "Session not found"))
        elif method == b"GET":
            await self._listen(headers, write)
        elif method == b"DELETE":
            self._simulator.close_session(session)
            _send(write, 200, {})
        else:
            _send(write, 405, failed(None, INVALID_PARAMS, "Method not allowed"))

    async def _post(
        self, headers: Mapping[bytes, bytes], session: str, body: bytes, write: Write
    ) -> None:
        simulator = self._simulator
        try:
            message = simulator.read(body)
        except BadRequest as error:
            _send(write, 400, failed(None, INVALID_PARAMS, str(error)))
            return
        if message.method == "initialize":
            opened = b"mcp-session-id: %b\r\n" % simulator.open_session().encode()
            _send(write, 200, simulator.answer(message), opened)
        elif session and not simulator.knows(session):
            _send(write, 404, failed(message.id, INVALID_PARAMS, "Session not found"))
        elif not message.method:
            self._take_answer(session, message)
            write(_head(202, b"content-length: 0\r\n"))
        elif message.id is None:
            write(_head(202, b"content-length: 0\r\n"))
        else:
            await self._answer_request(headers, session, message, write)

    async def _answer_request(
        self, headers: Mapping[bytes, bytes], session: str, message: McpMessage, write: Write
    ) -> None:
        tool = self._simulator.tool_called(message)
        if tool is None or not (tool.logs or tool.progress or tool.asks or tool.streams):
            if tool is not None and tool.delay_ms:
                await asyncio.sleep(tool.delay_ms / 1000)
            _send(write, 200, self._simulator.answer(message))
            return
        if b"text/event-stream" not in headers.get(b"accept", b""):
            _send(write, 406, failed(message.id, INVALID_PARAMS, "Accept text/event-stream"))
            return
        _start_stream(write)
        for document in self._simulator.before(message, tool):
            self._event(write, document)
            await asyncio.sleep(tool.delay_ms / 1000)
        said = await self._ask(session, tool, write) if tool.asks else ""
        self._event(write, self._simulator.answer(message, said))
        write(b"0\r\n\r\n")

    async def _ask(self, session: str, tool: McpTool, write: Write) -> str:
        """Ask the client and wait for what it says."""
        number = f"q{next(self._numbers)}"
        answered: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._questions[session, number] = answered
        try:
            self._event(write, self._simulator.question(tool, number))
            return await asyncio.wait_for(answered, _ANSWER_SECONDS)
        except TimeoutError:
            return "nothing"
        finally:
            del self._questions[session, number]

    def _take_answer(self, session: str, message: McpMessage) -> None:
        question = self._questions.get((session, str(message.id)))
        if question is not None and not question.done():
            result = message.result or {}
            content = result.get("content") or {}
            question.set_result(str(content.get("answer", result.get("action", "nothing"))))

    async def _listen(self, headers: Mapping[bytes, bytes], write: Write) -> None:
        last = headers.get(b"last-event-id", b"")
        heard = int(last[1:]) if last[:1] == b"n" and last[1:].isdigit() else 0
        _start_stream(write)
        for number, text in enumerate(self._simulator.notifications[heard:], heard + 1):
            _chunk(write, event(notice(text), f"n{number}"))
        await asyncio.Event().wait()

    def _event(self, write: Write, document: dict[str, Any]) -> None:
        _chunk(write, event(document, f"e{next(self._numbers)}"))


def _send(write: Write, status: int, document: dict[str, Any], more: bytes = b"") -> None:
    body = _encode(document)
    framing = b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body)
    write(_head(status, framing + more) + body)


def _start_stream(write: Write) -> None:
    kind = b"content-type: text/event-stream\r\ncache-control: no-cache\r\n"
    write(_head(200, kind + b"transfer-encoding: chunked\r\n"))


def _chunk(write: Write, data: bytes) -> None:
    write(b"%x\r\n%b\r\n" % (len(data), data))


def _head(status: int, lines: bytes) -> bytes:
    return b"HTTP/1.1 %d Simulated\r\n%b\r\n" % (status, lines)
