"""Open-loop load: requests leave at fixed times, and waiting counts from the intended time.

A closed loop slows down with the server it measures and so hides its worst moments
(coordinated omission); this one does not. Prints one JSON line.

    python -m benchmarks.load HOST:PORT --rate 1000 --seconds 10 --body-bytes 1024
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from typing import cast

import uvloop


def chat_request(body_bytes: int, *, stream: bool) -> bytes:
    """A chat completion request whose body has about ``body_bytes`` bytes of harmless prose."""
    sentence = "The quarterly report lists deliveries by region and asks for a short summary. "
    shell = {
        "model": "bench",
        "stream": stream,
        "messages": [
            {"role": "system", "content": "You answer briefly and politely."},
            {"role": "user", "content": ""},
        ],
    }
    room = max(0, body_bytes - len(json.dumps(shell)))
    messages = cast("list[dict[str, str]]", shell["messages"])
    messages[1]["content"] = (sentence * (room // len(sentence) + 1))[:room]
    return json.dumps(shell).encode()


def http_request(address: str, body: bytes) -> bytes:
    """The request as the official SDK would send it, thirteen headers included."""
    headers = {
        "Host": address,
        "Accept": "application/json",
        "Content-Type": "application/json",
        "User-Agent": "OpenAI/Python 3.0.0",
        "X-Stainless-Lang": "python",
        "X-Stainless-Package-Version": "3.0.0",
        "X-Stainless-OS": "Linux",
        "X-Stainless-Arch": "x64",
        "X-Stainless-Runtime": "CPython",
        "X-Stainless-Runtime-Version": "3.11.7",
        "Authorization": "Bearer sk-bench",
        "X-User-ID": "u-1042",
        "Content-Length": str(len(body)),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /v1/chat/completions HTTP/1.1\r\n{head}\r\n".encode() + body


class Client(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self, idle: list[Client], latencies: list[float], errors: list[str]) -> None:
        self._idle = idle
        self._latencies = latencies
        self._errors = errors
        self._buffer = b""
        self._intended = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._idle.append(self)

    def connection_lost(self, _error: Exception | None) -> None:
        if self in self._idle:
            self._idle.remove(self)
        elif self._intended:
            self._errors.append("connection lost")

    def send(self, request: bytes, intended: float) -> None:
        assert self.transport is not None
        self._intended = intended
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._complete():
            return
        if not self._buffer.startswith(b"HTTP/1.1 200"):
            self._errors.append(self._buffer[:40].decode("latin-1"))
        self._latencies.append(time.perf_counter() - self._intended)
        self._buffer = b""
        self._intended = 0.0
        self._idle.append(self)

    def _complete(self) -> bool:
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return False
        head = self._buffer[:head_end].lower()
        at = head.find(b"content-length:")
        if at < 0:
            return self._buffer.endswith(b"0\r\n\r\n")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0])
        return len(self._buffer) >= head_end + 4 + length


async def run(
    address: str, *, rate: float, seconds: float, body_bytes: int, stream: bool, connections: int
) -> dict[str, float]:
    """Send at ``rate`` for ``seconds``; latencies in milliseconds.

    Returns:
        p50, p90, p99 and max, the number answered, errors, and requests that found no idle
        connection at their time (they are sent late and their wait is counted).
    """
    host, port = address.rsplit(":", 1)
    loop = asyncio.get_running_loop()
    idle: list[Client] = []
    latencies: list[float] = []
    errors: list[str] = []
    for _ in range(connections):
        await loop.create_connection(lambda: Client(idle, latencies, errors), host, int(port))
    request = http_request(address, chat_request(body_bytes, stream=stream))
    for _ in range(50):  # connections, caches and pools are warm before it counts
        idle.pop().send(request, time.perf_counter())
        while len(idle) < connections:  # noqa: ASYNC110 - an event per answer would cost more
            await asyncio.sleep(0.001)
    latencies.clear()
    total = int(rate * seconds)
    began = time.perf_counter() + 0.05
    late = 0
    sent = 0
    while sent < total:
        intended = began + sent / rate
        wait = intended - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        while not idle:
            late += 1
            await asyncio.sleep(0.0005)
        idle.pop().send(request, intended)
        sent += 1
    deadline = time.perf_counter() + 10
    while len(latencies) + len(errors) < total and time.perf_counter() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    ordered = sorted(latencies)

    def quantile(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 3)

    return {
        "answered": len(ordered),
        "errors": len(errors) + total - len(ordered) - len(errors),
        "late": late,
        "p50_ms": quantile(0.50),
        "p90_ms": quantile(0.90),
        "p99_ms": quantile(0.99),
        "max_ms": round(ordered[-1] * 1000, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--body-bytes", type=int, default=1024)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--stream", action="store_true")
    arguments = parser.parse_args()
    result = uvloop.run(
        run(
            arguments.address,
            rate=arguments.rate,
            seconds=arguments.seconds,
            body_bytes=arguments.body_bytes,
            stream=arguments.stream,
            connections=arguments.connections,
        )
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
