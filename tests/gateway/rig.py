"""A gateway shell on real sockets; exchange, journal and upstream are scripted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from kintsugi.gateway.commands import (
    AbortUpstream,
    Admit,
    Answer,
    CallUpstream,
    Command,
    DropClient,
    EndStream,
    Record,
    SendData,
    StartStream,
)
from kintsugi.gateway.events import (
    ClientAborted,
    Event,
    GatewayFailed,
    RecordDurable,
    RecordFailed,
    RequestReceived,
    RequestRefused,
    UpstreamData,
    UpstreamEnd,
    UpstreamFailed,
    UpstreamHead,
)
from kintsugi.gateway.in_force import InForce
from kintsugi.gateway.metrics import WorkerMetrics
from kintsugi.gateway.server import ClientConnection
from kintsugi.gateway.shell import Shell
from kintsugi.gateway.upstream import Pool
from kintsugi.ledger.journal_writer import JournalTally
from kintsugi.model.config import Config, Gateway, Pack
from kintsugi.model.event import Admission, DecisionEvent, ExchangeStatus
from kintsugi.model.verdict import Verdict
from kintsugi.policy.plan import plan_of

TICK_SECONDS = 0.01
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_STATUS = {
    "request.malformed": 400,
    "request.timeout": 408,
    "request.too_large": 413,
    "overloaded": 503,
}


class FakeJournal:
    """Durable at the next turn of the loop, unless told to hold or to fail."""

    def __init__(self) -> None:
        self.tally = JournalTally()
        self.healthy = True
        self.records: list[bytes] = []
        self.error: Exception | None = None
        self.held: list[Callable[[], None]] | None = None

    def append(self, record: bytes, on_durable: Callable[[Exception | None], bytes | None]) -> None:
        self.records.append(record)
        self.tally.appended += 1

        def tell() -> None:
            self.tally.durable += 1
            on_durable(self.error)

        if self.held is None:
            asyncio.get_running_loop().call_soon(tell)
        else:
            self.held.append(tell)

    def release(self) -> None:
        """Let everything that was held become durable."""
        held, self.held = self.held or [], None
        for tell in held:
            tell()


def in_force(gateway: Gateway) -> InForce:
    """Something to be in force."""
    return InForce(
        plan=plan_of(
            Config(
                pack=Pack(name="rig", version="1.0.0", id="rig"),
                gateway=gateway,
                targets=(),
                chain=(),
                suites=(),
                source="",
                file="rig.yaml",
                positions={},
            ),
            {},
        ),
        config_version="rig@1",
        gateway_id="gw-rig",
        worker_id="w0",
        engine_version="test",
        fingerprint_key=b"",
    )


class Relay:
    """An exchange that judges nothing: passes requests on and answers back, recording both.

    ``/answer`` is answered at once with the request's body, ``/raise`` raises.
    """

    def __init__(self, rig: Rig, in_force: InForce) -> None:
        self._rig = rig
        self._in_force = in_force
        self._streams = False
        self._status = 0
        self._parts: list[bytes] = []
        self._last: list[Command] = []
        self._request: RequestReceived | None = None
        self._broken = False

    def step(self, event: Event) -> list[Command]:
        self._rig.events.append(event)
        match event:
            case RequestReceived():
                return self._begin(event)
            case RequestRefused(code=code):
                return [Answer(_STATUS[code], [], code.encode())]
            case UpstreamHead(status=status, headers=headers, data=data, ended=ended):
                self._status = status
                self._streams = (b"content-type", b"text/event-stream") in headers
                start: list[Command] = [StartStream(status, headers)] if self._streams else []
                return start + self._take(data, ended=ended)
            case UpstreamData(data=data, ended=ended):
                return self._take(data, ended=ended)
            case UpstreamEnd():
                return self._take(b"", ended=True)
            case UpstreamFailed(code=code):
                self._last = [DropClient()] if self._streams else [Answer(502, [], code.encode())]
                return [self._record(ExchangeStatus.UPSTREAM_FAILED)]
            case ClientAborted():
                self._last = []
                return [AbortUpstream(), self._record(ExchangeStatus.CLIENT_ABORTED)]
            case RecordDurable():
                return self._last
            case RecordFailed():
                return [Answer(503, [], b"evidence")]
            case GatewayFailed(code="draining"):
                self._last = [Answer(503, [], b"draining")]
                return [AbortUpstream(), self._record(ExchangeStatus.INTERRUPTED)]
            case GatewayFailed():
                if self._broken:
                    raise RuntimeError("broken beyond repair")
                return [Answer(500, [], b"failed")]
        return []

    def _take(self, data: bytes, *, ended: bool) -> list[Command]:
        commands: list[Command] = []
        if self._streams and data:
            commands.append(SendData(data))
        self._parts.append(data)
        if ended:
            whole = Answer(self._status, [], b"".join(self._parts))
            self._last = [EndStream() if self._streams else whole]
            commands.append(self._record(ExchangeStatus.ANSWERED))
        return commands

    def _begin(self, event: RequestReceived) -> list[Command]:
        self._request = event
        if event.target == b"/answer":
            return [Answer(200, [], event.body)]
        if event.target.startswith(b"/raise"):
            self._broken = event.target == b"/raise/twice"
            raise RuntimeError("a defect")
        origin = f"http://127.0.0.1:{self._rig.upstream_port}"
        call = CallUpstream("t", origin, event.target, [], event.body, allow_private_network=True)
        admission = Admission(
            id=event.event_id,
            timestamp=event.now,
            gateway_id="gw-rig",
            worker_id="w0",
            dialect="rig",
            config_version=self._in_force.config_version,
            revision="",
            request_digest="",
        )
        return [Admit(admission), call]

    def _record(self, status: ExchangeStatus) -> Record:
        request = self._request
        assert request is not None
        return Record(
            DecisionEvent(
                id=request.event_id,
                timestamp=request.now,
                gateway_id="gw-rig",
                worker_id="w0",
                dialect="rig",
                config_version=self._in_force.config_version,
                revision="",
                engine_version="test",
                verdict=Verdict.ALLOW,
                reason_code="policy.passed",
                status=status,
            ),
            request.at_ns,
        )


class Rig:
    """One shell that listens, and what it talked about."""

    def __init__(self, folder: Path) -> None:
        loop = asyncio.get_running_loop()
        self.events: list[Event] = []
        self.journal = FakeJournal()
        self.metrics = WorkerMetrics(folder, "w0")
        self.pool = Pool(loop)
        self.shell = Shell(
            loop=loop,
            journal=self.journal,
            metrics=self.metrics,
            pool=self.pool,
            exchange=lambda in_force: Relay(self, in_force),
            tick_seconds=TICK_SECONDS,
        )
        self.port = 0
        self.upstream_port = 1  # nobody listens there

    def seen(self, kind: type[Event]) -> list[Event]:
        """Events of one type, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, condition: Callable[[], bool]) -> None:
        """See ``until``."""
        await until(condition)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something to become true; the test's own time-out bounds it."""
    while not condition():  # noqa: ASYNC110 conditions of code that knows no events
        await asyncio.sleep(0.001)


@asynccontextmanager
async def running(folder: Path, gateway: Gateway | None = None) -> AsyncIterator[Rig]:
    """A shell on a free port with a configuration in force."""
    rig = Rig(folder)
    rig.shell.put_in_force(in_force(gateway or Gateway()))
    rig.shell.start()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: ClientConnection(rig.shell), "127.0.0.1", 0)
    rig.port = server.sockets[0].getsockname()[1]
    try:
        yield rig
    finally:
        server.close()
        rig.shell.stop()
        rig.shell.abort_clients()
        rig.pool.close()
        await rig.until(lambda: not rig.shell.connections)
        await server.wait_closed()
        rig.metrics.close()


@asynccontextmanager
async def upstream(handler: Handler) -> AsyncIterator[int]:
    """A server that does to every connection what the test says; yields its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tuple(tasks))
        await server.wait_closed()


async def read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of a message with a content-length or chunks.

    Raises:
        asyncio.IncompleteReadError: the connection ended.
    """
    head = await reader.readuntil(b"\r\n\r\n")
    lower = head.lower()
    if b"transfer-encoding: chunked" in lower:
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
        return head, body
    length = 0
    for line in lower.split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return head, await reader.readexactly(length)


def answer(body: bytes, *, status: bytes = b"200 OK", extra: bytes = b"") -> bytes:
    """A whole answer with a length."""
    length = b"content-length: %d\r\n" % len(body)
    return b"HTTP/1.1 " + status + b"\r\n" + length + extra + b"\r\n" + body


def post(target: bytes, body: bytes = b"", extra: bytes = b"") -> bytes:
    """A whole request with a length."""
    return b"POST %b HTTP/1.1\r\nHost: rig\r\nContent-Length: %d\r\n%b\r\n%b" % (
        target,
        len(body),
        extra,
        body,
    )


class Client:
    """A raw connection to the rig."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[bytes, bytes]:
        """The next answer: head and body."""
        return await read_message(self.reader)

    async def status(self) -> int:
        """The status of the next answer."""
        head, _ = await self.answer()
        return int(head.split(b" ")[1])


@asynccontextmanager
async def client(port: int) -> AsyncIterator[Client]:
    """A raw client that closes itself."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
