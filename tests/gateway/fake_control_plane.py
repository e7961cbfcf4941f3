"""The control plane's side of the gateway's protocol, small enough to be told to misbehave."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from kintsugi.ledger.journal_continuity import check_records
from kintsugi.ledger.journal_ranges import RANGES_LINE_START, RangesLine
from kintsugi.model.journal import CheckedRange
from tests.ports import free_port

TOKEN = "test-token"

Reply = tuple[int, dict[str, Any]]


class FakeControlPlane:
    """Answers on loopback until ``stop``; ``port`` stays the same when it is started again.

    Attributes:
        stored: event ids in the order in which they arrived, each once.
        batches: how many events each accepted request brought.
        told: what it was told of journals, held against the records.
        missing: the lines that it says it misses.
        answer_events: answers a batch of raw lines in place of storing it; None stores.
        versions: contents of the configuration ``support``, oldest first.
        reports: what the gateway said of itself.
        notes: with which each version was published.
    """

    def __init__(self) -> None:
        self.stored: list[str] = []
        self.batches: list[int] = []
        self.told: list[CheckedRange] = []
        self.missing: list[dict[str, Any]] = []
        self.answer_events: Callable[[list[bytes]], Reply | None] = lambda _lines: None
        self.versions: list[str] = []
        self.notes: list[str] = []
        self.reports: list[dict[str, Any]] = []
        self.refuses_publishing = False
        self.changed = threading.Condition()
        self.port = free_port()
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._server = _Server(("127.0.0.1", self.port), _Handler)
        self._server.fake = self
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stopping = True
            with self.changed:
                self.changed.notify_all()
            self._server.shutdown()
            self._server.server_close()
            for connection in list(self._server.connections):
                with contextlib.suppress(OSError):
                    connection.connection.shutdown(socket.SHUT_RDWR)
            self._server = None

    def wait(self, condition: Callable[[], bool], timeout_seconds: float = 5) -> None:
        """Until something that a request changed makes it true."""
        with self.changed:
            assert self.changed.wait_for(condition, timeout_seconds)

    def publish(self, content: str, note: str = "") -> None:
        with self.changed:
            self.versions.append(content)
            self.notes.append(note)
            self.changed.notify_all()


@contextmanager
def running() -> Iterator[FakeControlPlane]:
    fake = FakeControlPlane()
    fake.start()
    try:
        yield fake
    finally:
        fake.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    fake: FakeControlPlane
    stopping = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.connections: set[_Handler] = set()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that the test or the client cut are no errors here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self)

    def finish(self) -> None:
        self.server.connections.discard(self)
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the signature is theirs
        """Quiet."""

    def do_POST(self) -> None:
        body = self._body()
        fake = self.server.fake
        if not self._allowed():
            return
        assert self.headers["Content-Type"] == "application/x-ndjson"
        lines = body.split(b"\n")
        with fake.changed:
            refused = fake.answer_events(lines)
            if refused is None:
                if lines[0].startswith(RANGES_LINE_START):
                    told = msgspec.json.decode(lines.pop(0), type=RangesLine).ranges
                    fake.told += check_records(told, lines)
                new = [json.loads(line)["id"] for line in lines]
                fresh = [event_id for event_id in new if event_id not in set(fake.stored)]
                fake.stored += fresh
                if lines:
                    fake.batches.append(len(lines))
                refused = 200, {"data": {"stored": len(fresh), "missing": fake.missing}}
            fake.changed.notify_all()
        self._reply(*refused)

    def do_PUT(self) -> None:
        body = json.loads(self._body())
        fake = self.server.fake
        if not self._allowed():
            return
        if self.path.startswith("/v1/gateways/"):
            with fake.changed:
                fake.reports.append(body)
                fake.changed.notify_all()
            self._reply(200, {"data": {}})
        elif fake.refuses_publishing:
            self._reply(422, {"detail": "policy.x: unknown", "code": "configuration.invalid"})
        else:
            fake.publish(body["content"], body["note"])
            self._reply(200, {"data": {"version": len(fake.versions)}})

    def do_GET(self) -> None:
        fake = self.server.fake
        if not self._allowed():
            return
        if not self.path.endswith("/follow?config_id=support"):
            found = bool(fake.versions)
            self._reply(200 if found else 404, {"data": {"version": len(fake.versions)}})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.flush()
        self.close_connection = True
        sent = 0
        while not self.server.stopping:
            with fake.changed:
                if len(fake.versions) == sent:
                    fake.changed.wait(0.05)
                newest = len(fake.versions)
            if newest == sent:
                self.wfile.write(b": still here\n\n")
                continue
            data = json.dumps(
                {
                    "id": "support",
                    "version": newest,
                    "revision": f"sha256:{newest}",
                    "content": fake.versions[newest - 1],
                }
            )
            self.wfile.write(f"event: configuration\ndata: {data}\n\n".encode())
            sent = newest

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _allowed(self) -> bool:
        allowed = self.headers["Authorization"] == f"Bearer {TOKEN}"
        if not allowed:
            self._reply(401, {"detail": "no valid token", "code": "auth.unauthenticated"})
        return allowed

    def _reply(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
