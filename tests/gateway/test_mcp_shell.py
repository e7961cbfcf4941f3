"""MCP on real sockets: streams that listen are bounded, freed and ended in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from kintsugi.gateway.in_force import InForce
from kintsugi.model.event import Admission, DecisionEvent
from kintsugi.simulator.script import McpScript, Script
from kintsugi.simulator.server import serve, url_of
from tests.gateway.mcp_playbook import asking, mcp_in_force
from tests.gateway.rig import Client, Rig, client, running

GET = b"GET /mcp/tools HTTP/1.1\r\nHost: rig\r\nAccept: text/event-stream\r\n"


@asynccontextmanager
async def proxied(folder: Path, *, more: str = "") -> AsyncIterator[tuple[Rig, InForce]]:
    """A shell before the simulator's MCP server."""
    server = await serve("127.0.0.1", 0, Script(mcp=McpScript(notifications=("hello",))))
    url = f"{url_of(server)}/mcp"
    servers = f"[{{id: tools, url: '{url}', allow_private_network: true}}]"
    configuration = mcp_in_force(servers=servers, more=more)
    async with running(folder) as rig:
        rig.shell.put_in_force(configuration)
        yield rig, configuration
    server.close()


def post(body: bytes, session: bytes = b"") -> bytes:
    return (
        b"POST /mcp/tools HTTP/1.1\r\nHost: rig\r\nContent-Type: application/json\r\n"
        b"Accept: application/json, text/event-stream\r\n%bContent-Length: %d\r\n\r\n%b"
        % (_session(session), len(body), body)
    )


def _session(session: bytes) -> bytes:
    return b"Mcp-Session-Id: %b\r\n" % session if session else b""


async def opened(asking_client: Client) -> bytes:
    """Open a session; returns its id."""
    await asking_client.send(post(asking("initialize", protocolVersion="2025-11-25")))
    head, _ = await asking_client.answer()
    line = next(line for line in head.split(b"\r\n") if line.startswith(b"mcp-session-id: "))
    return line.partition(b": ")[2]


async def listening(listener: Client, session: bytes) -> None:
    """Begin to listen, up to the first notification."""
    await listener.send(GET + _session(session) + b"\r\n")
    await listener.reader.readuntil(b"hello")


async def test_a_session_is_used_on_every_connection_and_closed(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (rig, _), client(rig.port) as one, client(rig.port) as other:
        session = await opened(one)
        await other.send(post(asking("tools/list"), session))
        head, body = await other.answer()
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b'"echo"' in body
        await other.send(
            b"DELETE /mcp/tools HTTP/1.1\r\nHost: rig\r\n" + _session(session) + b"\r\n"
        )
        assert await other.status() == 200
        await other.send(post(asking("tools/list"), session))
        assert await other.status() == 404


async def test_another_configuration_ends_the_streams_that_listen(tmp_path: Path) -> None:
    async with (
        proxied(tmp_path) as (rig, configuration),
        client(rig.port) as one,
        client(rig.port) as listener,
    ):
        session = await opened(one)
        await listening(listener, session)
        assert len(rig.shell.listening) == 1
        rig.shell.put_in_force(configuration)
        await listener.reader.readuntil(b"0\r\n\r\n")
        await rig.until(lambda: not rig.shell.listening and rig.shell.in_flight == 0)
        await listening(listener, session)  # the same connection serves the next one


async def test_streams_are_bounded_and_freed_when_their_client_leaves(tmp_path: Path) -> None:
    async with proxied(tmp_path, more=", streams_max: 1") as (rig, _), client(rig.port) as one:
        session = await opened(one)
        async with client(rig.port) as listener:
            await listening(listener, session)
            await one.send(GET + _session(session) + b"\r\n")
            assert await one.status() == 503
        await rig.until(lambda: not rig.shell.listening)
        await listening(one, session)


async def test_a_stream_ends_by_itself_when_its_time_is_over(tmp_path: Path) -> None:
    more = ", stream_seconds_max: 0.05"
    async with proxied(tmp_path, more=more) as (rig, _), client(rig.port) as one:
        session = await opened(one)
        await listening(one, session)
        await one.reader.readuntil(b"0\r\n\r\n")
        await rig.until(lambda: rig.shell.in_flight == 0)


async def test_a_stream_leaves_two_records_and_draining_ends_it(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (rig, _), client(rig.port) as one:
        session = await opened(one)
        await listening(one, session)
        before = len(rig.journal.records)
        async with asyncio.timeout(5):
            assert await rig.shell.drain(5.0)
        decode = msgspec.json.Decoder(Admission | DecisionEvent).decode
        (last,) = [decode(record) for record in rig.journal.records[before:]]
        assert isinstance(last, DecisionEvent)
        assert (last.dialect, last.status.value, last.streamed) == ("mcp", "answered", True)


async def test_without_evidence_an_mcp_client_is_told_in_its_own_words(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (rig, _), client(rig.port) as one:
        rig.journal.healthy = False
        await one.send(post(asking("tools/list")))
        head, body = await one.answer()
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"evidence_unavailable" in body
        assert b'"jsonrpc":"2.0","id":null' in body


async def test_a_body_that_is_too_large_is_refused_as_json_rpc(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (rig, _), client(rig.port) as one:
        await one.send(
            b"POST /mcp/tools HTTP/1.1\r\nHost: rig\r\nContent-Length: 99999999999\r\n\r\n"
        )
        head, body = await one.answer()
        assert head.startswith(b"HTTP/1.1 413 ")
        assert b'"jsonrpc":"2.0"' in body
