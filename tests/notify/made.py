"""Targets, notices, and a receiver that listens on loopback."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from kintsugi.model.incident import new_id
from kintsugi.model.notice import Notice, notice
from kintsugi.model.notify import Channel, Route, Webhook
from tests.databases import NOON

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MINUTE = timedelta(minutes=1)


class Received(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """What came, and what is answered: a status, or a function that takes the handler."""

    def __init__(self) -> None:
        self.came: list[Received] = []
        self.arrived = threading.Condition()
        self.answer: Callable[[BaseHTTPRequestHandler], None] | int = 200
        self.url = ""

    def wait(self, count: int, *, seconds: float = 20) -> list[Received]:
        """Until so many have come."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.came) >= count, seconds), self.came
        return self.came


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            came = Received(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            answer = receiver.answer
            with receiver.arrived:
                receiver.came.append(came)
                receiver.arrived.notify_all()
            if callable(answer):
                answer(self)
                return
            self.send_response(answer)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def told(number: int = 0, type_name: str = "incident.declared", **more: Any) -> Notice:
    data = {"reference": f"INC-{number:06d}"}
    if type_name.startswith("incident."):
        data["title"] = f"It lied {number}"
    return notice(type_name, f"incident:INC-{number:06d}", data, now=NOON + number * MINUTE, **more)


def webhook(name: str = "siem", url: str = "https://example.com/hook", **more: Any) -> Webhook:
    made: dict[str, Any] = {"id": new_id(NOON), "name": name, "url": url, "routes": (Route(),)}
    return Webhook(**{**made, "created_at": NOON, "created_by": "ana/1", **more})


def channel(name: str = "room", **more: Any) -> Channel:
    made: dict[str, Any] = {"id": new_id(NOON), "name": name, "routes": (Route(),)}
    made |= {"service": "E-Mail", "address": "mailto://****"}
    return Channel(**{**made, "created_at": NOON, "created_by": "ana/1", **more})
