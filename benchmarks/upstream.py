"""A model provider that answers as fast as Python can: the other end of the gateway benchmark.

Answers every POST with a fixed chat completion of about 600 bytes, or, when the path ends in
``?stream``, or the body asks for ``"stream": true``, with twenty server-sent chunks. It parses
no more of HTTP than the benchmark's own clients need.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast

import uvloop

_TEXT = (
    "Thank you for asking. The delivery left our warehouse this morning and should arrive within "
    "two working days; you will get a message with the carrier's name as soon as it is scanned. "
    "If nothing has come by the end of the week, write to us again and we will look into it."
)


def completion() -> bytes:
    """The whole answer, about 600 bytes of JSON."""
    return json.dumps(
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": "bench",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": _TEXT},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 200, "completion_tokens": 60, "total_tokens": 260},
        }
    ).encode()


def stream_chunks(count: int = 20) -> list[bytes]:
    """The same answer as server-sent events, ``count`` content chunks and the end marker."""
    step = -(-len(_TEXT) // count)
    frames = []
    for number in range(count):
        delta = {"content": _TEXT[number * step : (number + 1) * step]}
        frame = {
            "id": "chatcmpl-bench",
            "object": "chat.completion.chunk",
            "created": 1_700_000_000,
            "model": "bench",
            "choices": [
                {
                    "index": 0,
                    "delta": delta,
                    "finish_reason": "stop" if number == count - 1 else None,
                }
            ],
        }
        frames.append(b"data: " + json.dumps(frame).encode() + b"\n\n")
    return [*frames, b"data: [DONE]\n\n"]


_BODY = completion()
WHOLE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_BODY)
    + _BODY
)
STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in stream_chunks())
    + b"0\r\n\r\n"
)


class Upstream(asyncio.Protocol):
    """Counts request bytes and answers; requests are not pipelined."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        head_end = buffer.find(b"\r\n\r\n")
        if head_end >= 0:
            head = buffer[:head_end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(buffer) >= head_end + 4 + length:
                assert self._transport is not None
                streamed = b'"stream": true' in buffer or b'"stream":true' in buffer
                self._transport.write(STREAM if streamed else WHOLE)
                buffer = b""
        self._buffer = buffer


async def serve(port: int) -> None:
    """Listen until cancelled; prints the port once it is open."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
