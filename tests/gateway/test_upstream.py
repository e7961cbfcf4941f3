from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import msgspec
import pytest

from kintsugi.gateway.events import Headers
from kintsugi.gateway.resolve import AddressRefusedError, NameUnknownError, Resolver, refusal
from kintsugi.gateway.upstream import FAILURES, HEAD_BYTES_MAX, Limits, Origin, Pool
from tests.gateway.rig import answer, read_message, until, upstream

GET = b"GET /v1/x HTTP/1.1\r\nhost: rig\r\ncontent-length: 0\r\n\r\n"
POST = b"POST /v1/x HTTP/1.1\r\nhost: rig\r\ncontent-length: 0\r\n\r\n"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Heard:
    """A sink that writes down what it hears."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: Headers = []
        self.parts: list[bytes] = []
        self.failure = ""
        self.over = asyncio.Event()

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)

    def upstream_head(self, status: int, headers: Headers, data: bytes, *, ended: bool) -> None:
        assert not self.status
        self.status, self.headers = status, headers
        self._take(data, ended=ended)

    def upstream_data(self, data: bytes, *, ended: bool) -> None:
        assert data or ended
        self._take(data, ended=ended)

    def _take(self, data: bytes, *, ended: bool) -> None:
        self.parts.append(data)
        if ended:
            self.upstream_ended()

    def upstream_ended(self) -> None:
        assert not self.over.is_set()
        self.over.set()

    def upstream_failed(self, kind: str, detail: str) -> None:  # noqa: ARG002 the protocol's
        assert not self.over.is_set()
        assert kind in FAILURES
        self.failure = kind
        self.over.set()


class FixedResolver(Resolver):
    """Knows one answer and checks it as the real one does."""

    def __init__(self, *addresses: str) -> None:
        super().__init__(asyncio.get_running_loop())
        self._fixed = addresses

    async def _look_up(self, _host: str, _port: int) -> tuple[str, ...]:
        return self._fixed


def local(port: int) -> Origin:
    return Origin("127.0.0.1", port, allow_private_network=True)


async def ask(
    pool: Pool, origin: Origin, head: bytes = POST, limits: Limits | None = None
) -> Heard:
    """One call, to its end, with time passing."""
    heard = Heard()
    pool.call(origin, head, b"", heard, limits or Limits())
    await finish(pool, heard)
    return heard


async def finish(pool: Pool, heard: Heard) -> None:
    while not heard.over.is_set():
        pool.sweep(pool.loop.time())
        try:
            async with asyncio.timeout(0.005):
                await heard.over.wait()
        except TimeoutError:
            continue


def scripted(*answers: bytes) -> Handler:
    """Give these answers, one for each request, then close."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for text in answers:
            await read_message(reader)
            writer.write(text)
        await writer.drain()

    return handle


@pytest.fixture
async def pool() -> Pool:
    return Pool(asyncio.get_running_loop())


# Answers


async def test_an_answer_may_arrive_split_at_any_byte(pool: Pool) -> None:
    text = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nX-Name: value\r\ntransfer-encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n4\r\ndefg\r\n0\r\nx-trailer: dropped\r\n\r\n"
    )
    cuts = iter(range(1, len(text)))

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            await read_message(reader)
            cut = next(cuts)
            writer.write(text[:cut])
            await asyncio.sleep(0.001)
            writer.write(text[cut:])

    async with upstream(handle) as port:
        for cut in range(1, len(text)):
            heard = await ask(pool, local(port))
            assert (heard.status, heard.body) == (200, b"abcdefg"), cut
            assert heard.headers == [(b"x-name", b"value"), (b"transfer-encoding", b"chunked")]
        assert pool.open_connections == 1
    pool.close()


@pytest.mark.parametrize(
    ("text", "body"),
    [
        (answer(b"with a length"), b"with a length"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.0 200 OK\r\n\r\nold", b"old"),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", b""),
        (answer(b"", status=b"302 Found", extra=b"location: http://10.0.0.1/\r\n"), b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
async def test_every_way_to_end_a_body_is_understood(pool: Pool, text: bytes, body: bytes) -> None:
    async with upstream(scripted(text)) as port:
        heard = await ask(pool, local(port))
        assert (heard.failure, heard.body) == ("", body)
        assert heard.status == int(text.split(b" ")[1])
    pool.close()


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        (b"", "reset"),
        (b"HTTP/1.1 200 OK\r\ncontent-le", "reset"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", "truncated"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", "truncated"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "protocol"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", "protocol"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
            "protocol",
        ),
        (b"HTTP/1.1 200 OK\r\n" + b"x-pad: %b\r\n" % (b"a" * 1000) * 80, "protocol"),
        (answer(b"x" * 1001), "too_large"),
    ],
)
async def test_what_is_no_answer_is_a_named_failure(pool: Pool, text: bytes, failure: str) -> None:
    assert HEAD_BYTES_MAX < 80 * 1000
    async with upstream(scripted(text)) as port:
        heard = await ask(pool, local(port), limits=Limits(body_bytes_max=1000))
        assert heard.failure == failure
    await closed(pool)


async def test_a_reset_in_the_middle_is_truncated(pool: Pool) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nno length, so the end matters")
        await writer.drain()
        await asyncio.sleep(0.01)
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    async with upstream(handle) as port:
        assert (await ask(pool, local(port))).failure == "truncated"
    pool.close()


async def closed(pool: Pool) -> None:
    await until(lambda: pool.open_connections == 0)


# Reuse


async def test_connections_are_reused_newest_first(pool: Pool) -> None:
    connections = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        mine = b"%d" % connections
        while True:
            await read_message(reader)
            writer.write(answer(mine))

    async with upstream(handle) as port:
        both = Heard(), Heard()
        for heard in both:
            pool.call(local(port), POST, b"", heard, Limits())
        for heard in both:
            await finish(pool, heard)
        assert {heard.body for heard in both} == {b"1", b"2"}
        assert len({(await ask(pool, local(port))).body for _ in range(5)}) == 1
        assert connections == 2
    pool.close()


async def test_an_idle_connection_that_upstream_closed_is_never_used(pool: Pool) -> None:
    async with upstream(scripted(answer(b"only one"))) as port:
        for _ in range(20):  # each connection is closed right after its answer
            heard = await ask(pool, local(port), POST)
            assert (heard.failure, heard.body) == ("", b"only one")
    pool.close()


async def dies_on_second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_message(reader)
    writer.write(answer(b"first"))
    await read_message(reader)


async def test_a_post_on_a_connection_that_dies_is_not_repeated(pool: Pool) -> None:
    async with upstream(dies_on_second) as port:
        assert (await ask(pool, local(port), POST)).body == b"first"
        heard = await ask(pool, local(port), POST)
        assert heard.failure == "reset"
    pool.close()


async def test_a_get_on_a_reused_connection_that_dies_is_repeated_once(pool: Pool) -> None:
    async with upstream(dies_on_second) as port:
        assert (await ask(pool, local(port), GET)).body == b"first"
        heard = await ask(pool, local(port), GET)
        assert (heard.failure, heard.body) == ("", b"first")
    async with upstream(scripted(b"")) as port:
        heard = await ask(pool, local(port), GET)
        assert heard.failure == "reset"
    pool.close()


async def test_what_arrives_unasked_spoils_a_connection(pool: Pool) -> None:
    two = answer(b"mine") + answer(b"for somebody else")
    async with upstream(scripted(two, answer(b"later"))) as port:
        assert (await ask(pool, local(port))).body == b"mine"
        assert (await ask(pool, local(port))).body == b"mine"  # from a new connection
    pool.close()


async def test_idle_connections_grow_old(pool: Pool) -> None:
    kept = answer(b"x", extra=b"keep-alive: timeout=5, max=100\r\n")
    async with upstream(scripted(kept, kept)) as port:
        await ask(pool, local(port))
        pool.sweep(pool.loop.time() + 3.9)
        assert pool.open_connections == 1
        pool.sweep(pool.loop.time() + 4.1)
        await closed(pool)


# Time


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def stalling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_message(reader)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
    await reader.read()


async def hinting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_message(reader)
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("handler", "limits", "failure"),
    [
        (silent, Limits(first_byte_timeout_seconds=0.1), "first_byte_timeout"),
        (hinting, Limits(first_byte_timeout_seconds=0.1), "first_byte_timeout"),
        (stalling, Limits(idle_timeout_seconds=0.05), "idle_timeout"),
    ],
)
async def test_an_upstream_that_stalls_times_out(
    pool: Pool, handler: Handler, limits: Limits, failure: str
) -> None:
    async with upstream(handler) as port:
        assert (await ask(pool, local(port), limits=limits)).failure == failure
    await closed(pool)


async def test_a_call_that_goes_on_for_too_long_times_out(pool: Pool) -> None:
    limits = Limits(total_timeout_seconds=0.1)
    async with upstream(hinting) as port:
        assert (await ask(pool, local(port), limits=limits)).failure == "total_timeout"
    await closed(pool)


def test_a_target_may_have_its_own_time_outs() -> None:
    assert Limits().within(1.0, 0.0) == Limits(first_byte_timeout_seconds=1.0)
    assert Limits().within(0.0, 9.0) == Limits(total_timeout_seconds=9.0)


async def test_connecting_times_out(pool: Pool) -> None:
    class Hanging(FixedResolver):
        async def _look_up(self, _host: str, _port: int) -> tuple[str, ...]:
            await asyncio.sleep(60)
            return ()

    slow = Pool(pool.loop, resolver=Hanging())
    limits = Limits(connect_timeout_seconds=0.05)
    assert (await ask(slow, local(1), limits=limits)).failure == "connect_timeout"


async def test_a_paused_call_is_not_read_and_does_not_time_out(pool: Pool) -> None:
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_message(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()
            sent += 65_536

    limits = Limits(idle_timeout_seconds=0.05, body_bytes_max=1 << 40)
    async with upstream(endless) as port:
        heard = Heard()
        call = pool.call(local(port), POST, b"", heard, limits)
        await until(lambda: bool(heard.parts))
        call.pause()
        await asyncio.sleep(0.05)
        read, paused_at = len(heard.body), sent
        await asyncio.sleep(0.05)
        pool.sweep(pool.loop.time() + 1000)
        assert not heard.failure
        assert len(heard.body) == read
        assert sent - paused_at < 8_000_000
        call.resume()
        await until(lambda: len(heard.body) > read)
        call.abort()
        pool.sweep(pool.loop.time() + 1000)
        assert not heard.over.is_set()
    await closed(pool)


async def test_an_aborted_call_is_heard_of_no_more(pool: Pool) -> None:
    async with upstream(silent) as port:
        connecting, called = Heard(), Heard()
        pool.call(local(port), POST, b"", connecting, Limits()).abort()
        call = pool.call(local(port), POST, b"", called, Limits())
        await until(lambda: call.called_at_ns > 0)
        call.abort()
        await closed(pool)
        assert not connecting.over.is_set()
        assert not called.over.is_set()
        pool.sweep(0.0)
        assert not pool.calls


# Addresses


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "0.0.0.0"),
        *("::1", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1", "::"),
        *("192.0.2.1", "198.18.0.1", "240.0.0.1", "fec0::1"),
    ],
)
def test_private_addresses_need_permission(address: str) -> None:
    assert refusal(address, allow_private_network=False) == "private"
    assert refusal(address, allow_private_network=True) == ""


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "fe80::1%eth0", "::ffff:169.254.169.254", "224.0.0.1", "ff02::1"]
)
def test_metadata_and_multicast_addresses_are_never_allowed(address: str) -> None:
    assert refusal(address, allow_private_network=True) in ("link-local", "multicast")


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert refusal(address, allow_private_network=False) == ""


async def test_a_private_upstream_is_not_connected_to(pool: Pool) -> None:
    reached = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()

    async with upstream(handle) as port:
        for host in ("127.0.0.1", "localhost"):
            assert (await ask(pool, Origin(host, port))).failure == "address_refused"
        assert not reached.is_set()


async def test_permission_of_one_target_does_not_open_the_way_for_another(pool: Pool) -> None:
    async with upstream(scripted(answer(b"a"), answer(b"b"))) as port:
        assert (await ask(pool, local(port))).body == b"a"
        assert (await ask(pool, Origin("127.0.0.1", port))).failure == "address_refused"
    pool.close()


async def test_one_private_address_among_public_ones_refuses_them_all() -> None:
    mixed = FixedResolver("8.8.8.8", "127.0.0.1")
    with pytest.raises(AddressRefusedError):
        await mixed.addresses("rebind.example", 443, allow_private_network=False)


async def test_the_address_that_was_checked_is_the_one_connected_to() -> None:
    async with upstream(scripted(answer(b"here"))) as port:
        pinned = Pool(asyncio.get_running_loop(), resolver=FixedResolver("127.0.0.1"))
        origin = Origin("name.invalid", port, allow_private_network=True)
        assert (await ask(pinned, origin)).body == b"here"
        pinned.close()


async def test_the_next_address_is_tried_when_one_refuses() -> None:
    async with upstream(scripted(answer(b"here"))) as port:
        pool = Pool(asyncio.get_running_loop(), resolver=FixedResolver("127.0.0.2", "127.0.0.1"))
        assert (await ask(pool, local(port))).body == b"here"
        pool.close()


async def test_an_unknown_name_and_a_closed_port_have_names(pool: Pool) -> None:
    assert (await ask(pool, local(1))).failure == "connect"
    resolver = Resolver(asyncio.get_running_loop())
    with pytest.raises(NameUnknownError):
        await resolver.addresses("\udcff", 80, allow_private_network=False)


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for ``model.test`` with its key, in one file."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    subprocess.run(
        [
            *("openssl", *options.split(), "-keyout", str(path), "-out", f"{path}.crt"),
            *("-subj", "/CN=model.test", "-addext", "subjectAltName=DNS:model.test"),
        ],
        check=True,
        capture_output=True,
    )
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


async def test_tls_checks_the_name_and_the_issuer(certificate: Path) -> None:
    loop = asyncio.get_running_loop()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate)
    names: list[str | None] = []

    def note_name(_socket: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        names.append(name)

    server_side.sni_callback = note_name
    handler = scripted(answer(b"private"), answer(b"again"))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_side)
    port = cast("int", server.sockets[0].getsockname()[1])
    trusting = ssl.create_default_context(cafile=str(certificate))
    good = Origin("model.test", port, tls=True, allow_private_network=True)
    bad_name = msgspec.structs.replace(good, host="other.test")
    resolver = FixedResolver("127.0.0.1")
    pool = Pool(loop, resolver=resolver, tls=trusting)
    assert (await ask(pool, good)).body == b"private"
    assert (await ask(pool, good)).body == b"again"
    assert (await ask(pool, bad_name)).failure == "tls"
    assert (await ask(Pool(loop, resolver=resolver), good)).failure == "tls"
    assert names == ["model.test", "other.test", "model.test"]
    pool.close()
    server.close()
    await server.wait_closed()
