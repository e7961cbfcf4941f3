from __future__ import annotations

import asyncio
import json
import subprocess
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from kintsugi.gateway.events import (
    ClientAborted,
    RequestReceived,
    RequestRefused,
    UpstreamFailed,
)
from kintsugi.model.config import Gateway
from kintsugi.model.ids import uuid7_time
from tests.gateway.rig import Client, answer, client, post, read_message, running, upstream


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request of a connection with its body."""
    while True:
        _, body = await read_message(reader)
        writer.write(answer(body))


# Requests in, answers out


async def test_a_connection_serves_one_request_after_another(tmp_path: Path) -> None:
    async with upstream(echo) as port, running(tmp_path) as rig, client(rig.port) as one:
        rig.upstream_port = port
        for body in (b"first", b"second", b""):
            await one.send(post(b"/v1/x", body))
            head, answered = await one.answer()
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"connection: close" not in head
            assert b"\r\ndate: " in head
            assert answered == body
        assert rig.pool.open_connections == 1


async def test_a_request_may_arrive_split_at_any_byte(tmp_path: Path) -> None:
    request = post(b"/answer", b"body", b"X-Test: 1\r\nExpect: 100-continue\r\n")
    async with running(tmp_path) as rig:
        for split in range(1, len(request)):
            async with client(rig.port) as one:
                await one.send(request[:split])
                await asyncio.sleep(0)
                await one.send(request[split:])
                head, body = await one.answer()
                if head.startswith(b"HTTP/1.1 100"):
                    head, body = await one.answer()
                assert (head[:12], body) == (b"HTTP/1.1 200", b"body"), split
        received = rig.seen(RequestReceived)
        first = received[0]
        assert isinstance(first, RequestReceived)
        for event in received:
            assert isinstance(event, RequestReceived)
            assert (event.method, event.target, event.headers, event.body) == (
                b"POST",
                b"/answer",
                first.headers,
                b"body",
            )
        assert rig.shell.held_body_bytes == 0


async def test_a_request_may_arrive_one_byte_at_a_time(tmp_path: Path) -> None:
    async with running(tmp_path) as rig, client(rig.port) as one:
        for byte in post(b"/answer", b"slow but steady"):
            await one.send(bytes([byte]))
        assert (await one.answer())[1] == b"slow but steady"


async def test_header_names_arrive_in_lower_case_and_values_untouched(tmp_path: Path) -> None:
    async with running(tmp_path) as rig, client(rig.port) as one:
        await one.send(post(b"/answer", b"", b"X-Odd-NAME: Some Value\xe9 \r\n"))
        await one.answer()
        (event,) = rig.seen(RequestReceived)
        assert isinstance(event, RequestReceived)
        assert (b"x-odd-name", b"Some Value\xe9") in [(n, v.strip()) for n, v in event.headers]


async def test_every_request_gets_a_sortable_id_of_its_own_time(tmp_path: Path) -> None:
    async with running(tmp_path) as rig, client(rig.port) as one:
        for _ in range(3):
            await one.send(post(b"/answer"))
            await one.answer()
        events = [event for event in rig.events if isinstance(event, RequestReceived)]
        assert len({event.event_id for event in events}) == 3
        for event in events:
            milliseconds = event.now.replace(microsecond=event.now.microsecond // 1000 * 1000)
            assert uuid7_time(event.event_id) == milliseconds
        assert all(a.at_ns < b.at_ns for a, b in pairwise(events))


async def test_chunked_bodies_are_put_together_and_trailers_are_dropped(tmp_path: Path) -> None:
    chunked = (
        b"POST /answer HTTP/1.1\r\nHost: rig\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\nX-User-ID: intruder\r\n\r\n"
    )
    async with running(tmp_path) as rig, client(rig.port) as one:
        await one.send(chunked + post(b"/answer", b"next"))
        assert (await one.answer())[1] == b"abcdefg"
        assert (await one.answer())[1] == b"next"
        for event in rig.seen(RequestReceived):
            assert isinstance(event, RequestReceived)
            assert b"x-user-id" not in dict(event.headers)


async def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    async with upstream(echo) as port, running(tmp_path) as rig, client(rig.port) as one:
        rig.upstream_port = port
        bodies = [b"%d" % number for number in range(40)]
        paths = (b"/v1/x", b"/answer")  # one waits for upstream, the next would not
        await one.send(b"".join(post(paths[i % 2], body) for i, body in enumerate(bodies)))
        assert [(await one.answer())[1] for _ in bodies] == bodies


async def test_a_request_behind_one_in_flight_waits_its_turn(tmp_path: Path) -> None:
    async with upstream(echo) as port, running(tmp_path) as rig, client(rig.port) as one:
        rig.upstream_port = port
        rig.journal.held = []
        await one.send(post(b"/v1/x", b"held"))
        await rig.until(lambda: len(rig.journal.records) == 2)
        second = post(b"/answer", b"x" * 200_000)
        one.writer.write(second)
        await asyncio.sleep(0.05)
        assert len(rig.seen(RequestReceived)) == 1
        rig.journal.release()
        assert (await one.answer())[1] == b"held"
        assert len((await one.answer())[1]) == 200_000


async def test_expect_continue_is_answered_before_the_body_is_sent(tmp_path: Path) -> None:
    async with running(tmp_path) as rig, client(rig.port) as one:
        request = post(b"/answer", b"body", b"Expect: 100-continue\r\n")
        await one.send(request[:-4])
        assert await one.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await one.send(b"body")
        assert (await one.answer())[1] == b"body"


async def test_an_unknown_expectation_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as rig, client(rig.port) as one:
        await one.send(post(b"/answer", b"", b"Expect: a-miracle\r\n"))
        assert await one.status() == 400


async def test_a_head_request_gets_no_body_and_the_connection_stays(tmp_path: Path) -> None:
    async with running(tmp_path) as rig, client(rig.port) as one:
        await one.send(b"HEAD /health HTTP/1.1\r\nHost: rig\r\n\r\n")
        head = await one.reader.readuntil(b"\r\n\r\n")
        assert b"content-length: 0" not in head
        await one.send(b"HEAD /answer HTTP/1.1\r\nHost: rig\r\n\r\n")
        await one.reader.readuntil(b"\r\n\r\n")
        await one.send(post(b"/answer", b"still here"))
        assert (await one.answer())[1] == b"still here"


async def test_http_1_0_gets_a_stream_that_ends_with_the_connection(tmp_path: Path) -> None:
    async def streaming(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(answer(b"data: 1\n\n", extra=b"content-type: text/event-stream\r\n"))

    async with upstream(streaming) as port, running(tmp_path) as rig, client(rig.port) as one:
        rig.upstream_port = port
        await one.send(b"POST /v1/x HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi")
        head, _, body = (await one.reader.read()).partition(b"\r\n\r\n")
        assert b"chunked" not in head
        assert body == b"data: 1\n\n"


async def test_streams_are_chunked_as_they_come(tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def streaming(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n"
            b"content-type: text/event-stream\r\n\r\n9\r\ndata: 1\n\n\r\n"
        )
        await go_on.wait()
        writer.write(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    async with upstream(streaming) as port, running(tmp_path) as rig, client(rig.port) as one:
        rig.upstream_port = port
        await one.send(post(b"/v1/x"))
        assert b"transfer-encoding: chunked" in await one.reader.readuntil(b"\r\n\r\n")
        assert await one.reader.readexactly(14) == b"9\r\ndata: 1\n\n\r\n"
        go_on.set()
        assert await one.reader.readuntil(b"0\r\n\r\n") == b"9\r\ndata: 2\n\n\r\n0\r\n\r\n"
        await one.send(post(b"/answer", b"kept"))
        assert (await one.answer())[1] == b"kept"


async def test_connection_close_is_honoured(tmp_path: Path) -> None:
    async with running(tmp_path) as rig, client(rig.port) as one:
        await one.send(post(b"/answer", b"bye", b"Connection: close\r\n"))
        head, _ = await one.answer()
        assert b"connection: close" in head
        assert await one.reader.read() == b""


# Requests that must not pass

_HEAD = b"POST /answer HTTP/1.1\r\nHost: rig\r\n"
_CHUNKED = b"5\r\nhello\r\n0\r\n\r\n"
SMUGGLING = {
    "length and chunks": _HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
    "chunks and length": _HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
    "two lengths": _HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a list of lengths": _HEAD + b"Content-Length: 5, 5\r\n\r\nhello",
    "a signed length": _HEAD + b"Content-Length: +5\r\n\r\nhello",
    "a hexadecimal length": _HEAD + b"Content-Length: 0x5\r\n\r\nhello",
    "a negative length": _HEAD + b"Content-Length: -5\r\n\r\nhello",
    "an endless length": _HEAD + b"Content-Length: " + b"9" * 40 + b"\r\n\r\nhello",
    "chunks twice": _HEAD + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n" + _CHUNKED,
    "chunks not last": _HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n" + _CHUNKED,
    "chunks within gzip": _HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + _CHUNKED,
    "unknown coding": _HEAD + b"Transfer-Encoding: xchunked\r\n\r\n" + _CHUNKED,
    "chunks in disguise": _HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + _CHUNKED,
    "space before the colon": _HEAD + b"Transfer-Encoding : chunked\r\n\r\n" + _CHUNKED,
    "a folded header": _HEAD + b"X-A: 1\r\n Transfer-Encoding: chunked\r\n\r\n",
    "a bare line feed": _HEAD + b"X-A: 1\nTransfer-Encoding: chunked\r\n\r\n" + _CHUNKED,
    "a bare carriage return": _HEAD + b"X-A: 1\rContent-Length: 5\r\n\r\n",
    "a zero byte": _HEAD + b"X-A: 1\x002\r\n\r\n",
    "no host": b"POST /answer HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "two hosts": _HEAD + b"Host: other\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /answer HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + _CHUNKED,
    "a wrong chunk size": _HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "a chunk size too long": _HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\n",
    "an upgrade": _HEAD + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "a tunnel": b"CONNECT internal:22 HTTP/1.1\r\nHost: internal:22\r\n\r\n",
    "HTTP/2 by prior knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}
TARGETS = (
    b"http://internal/answer",
    b"//internal/answer",
    b"/v1//chat",
    b"/v1/../answer",
    b"/v1/./answer",
    b"/v1/%2e%2e/answer",
    b"/v1/.%2E/answer",
    b"/answer/..",
    b"/v1%2fanswer",
    b"/v1%5canswer",
    b"/v1\\answer",
    b"/answer;x=1",
    b"/answer%00",
    b"/answer#fragment",
    b"*",
)


async def test_an_offer_of_http_2_is_passed_over(tmp_path: Path) -> None:
    offer = (
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
    )
    async with running(tmp_path) as rig, client(rig.port) as one:
        await one.send(post(b"/answer", b"first", offer) + post(b"/answer", b"second"))
        assert [await one.status(), await one.status()] == [200, 200]
        await one.send(post(b"/answer", b"third", offer))
        assert await one.status() == 200
        seen = [event for event in rig.events if isinstance(event, RequestReceived)]
        bodies = [event.body for event in seen]
        assert bodies == [b"first", b"second", b"third"]
        assert not any(name == b"upgrade" for event in seen for name, _ in event.headers)


@pytest.mark.parametrize("request_bytes", SMUGGLING.values(), ids=SMUGGLING)
async def test_a_request_with_two_readings_is_refused(tmp_path: Path, request_bytes: bytes) -> None:
    async with running(tmp_path) as rig, client(rig.port) as one:
        await one.send(request_bytes + post(b"/answer", b"smuggled"))
        assert await one.status() in (400, 413)
        assert await one.reader.read() == b""
        assert not rig.seen(RequestReceived)


@pytest.mark.parametrize("target", TARGETS)
async def test_a_target_with_two_readings_is_not_routed(tmp_path: Path, target: bytes) -> None:
    async with running(tmp_path) as rig, client(rig.port) as one:
        await one.send(post(target))
        assert await one.status() == 400
        assert not rig.seen(RequestReceived)


async def test_too_many_header_bytes_are_refused(tmp_path: Path) -> None:
    flood = b"POST /answer HTTP/1.1\r\nHost: rig\r\n" + b"X-Pad: %b\r\n" % (b"a" * 1000) * 100
    async with running(tmp_path) as rig:
        async with client(rig.port) as one:
            await one.send(flood + b"\r\n")
            assert await one.status() == 431
        async with client(rig.port) as one:  # never ends its head
            await one.send(flood + b"X-More: %b\r\n" % (b"a" * 1000) * 300)
            assert await one.status() == 431
        async with client(rig.port) as one:  # one header that never ends
            await one.send(b"GET / HTTP/1.1\r\nX-Long: ")
            for _ in range(40):
                await one.send(b"a" * 10_000)
            assert await one.status() == 431


async def test_too_many_headers_are_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as rig, client(rig.port) as one:
        await one.send(post(b"/answer", b"", b"".join(b"X-%d: 1\r\n" % n for n in range(200))))
        assert await one.status() == 431


async def test_a_body_that_is_announced_too_large_is_not_waited_for(tmp_path: Path) -> None:
    async with running(tmp_path, Gateway(request_body_bytes_max=1000)) as rig:
        async with client(rig.port) as one:
            await one.send(b"POST /answer HTTP/1.1\r\nHost: rig\r\nContent-Length: 1001\r\n\r\n")
            assert await one.status() == 413
        async with client(rig.port) as one:
            await one.send(post(b"/answer", b"x" * 1000))
            assert await one.status() == 200


async def test_a_body_that_grows_too_large_is_cut_off(tmp_path: Path) -> None:
    async with running(tmp_path, Gateway(request_body_bytes_max=1000)) as rig:
        async with client(rig.port) as one:
            await one.send(b"POST /answer HTTP/1.1\r\nHost: rig\r\nTransfer-Encoding: chunked\r\n")
            await one.send(b"\r\n" + b"200\r\n%b\r\n" % (b"x" * 512) * 3)
            assert await one.status() == 413
        assert rig.shell.held_body_bytes == 0


async def test_a_client_still_sending_reads_why_it_was_refused(tmp_path: Path) -> None:
    limits = Gateway(request_body_bytes_max=1000)
    async with running(tmp_path, limits) as rig, client(rig.port) as one:
        one.writer.write(post(b"/answer", b"x" * 4_000_000))
        assert await one.status() == 413


# Slow clients


async def test_a_head_that_does_not_end_times_out(tmp_path: Path) -> None:
    limits = Gateway(client_header_timeout_seconds=0.1)
    async with running(tmp_path, limits) as rig, client(rig.port) as one:
        drip = asyncio.create_task(
            _drip(one, b"POST /answer HTTP/1.1\r\nHost: rig\r\nX-A: " + b"a" * 500)
        )
        assert await one.status() == 408
        assert await one.reader.read() == b""
        drip.cancel()


async def test_a_body_that_does_not_come_times_out(tmp_path: Path) -> None:
    limits = Gateway(client_body_timeout_seconds=0.1)
    async with running(tmp_path, limits) as rig, client(rig.port) as one:
        await one.send(post(b"/answer", b"x" * 100)[:-50])
        assert await one.status() == 408
        (event,) = rig.seen(RequestRefused)
        assert isinstance(event, RequestRefused)
        assert event.code == "request.timeout"
        assert len(event.body) == 50


async def test_a_body_that_drips_times_out(tmp_path: Path) -> None:
    limits = Gateway(client_body_timeout_seconds=0.1)
    async with running(tmp_path, limits) as rig, client(rig.port) as one:
        drip = asyncio.create_task(_drip(one, post(b"/answer", b"x" * 500)))
        assert await one.status() == 408
        drip.cancel()


async def _drip(one: Client, data: bytes) -> None:
    for byte in data:
        await one.send(bytes([byte]))
        await asyncio.sleep(0.005)


async def test_a_connection_on_which_nothing_happens_is_closed(tmp_path: Path) -> None:
    limits = Gateway(client_idle_timeout_seconds=0.3, client_header_timeout_seconds=0.3)
    async with running(tmp_path, limits) as rig:
        async with client(rig.port) as silent:
            assert await silent.reader.read() == b""
        async with client(rig.port) as one:
            await one.send(post(b"/answer", b"hello"))
            assert (await one.answer())[1] == b"hello"
            assert await one.reader.read() == b""


async def test_a_client_that_does_not_read_slows_upstream_down_and_is_dropped(
    tmp_path: Path,
) -> None:
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_message(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        while True:
            writer.write(b"data: %b\n\n" % (b"x" * 65_536))
            await writer.drain()
            sent += 65_536

    limits = Gateway(client_body_timeout_seconds=0.3, response_body_bytes_max=1 << 40)
    async with upstream(endless) as port, running(tmp_path, limits) as rig:
        rig.upstream_port = port
        async with client(rig.port) as one:
            await one.send(post(b"/v1/x"))
            await rig.until(lambda: bool(rig.seen(ClientAborted)))
        assert sent < 50_000_000  # kernel buffers and ours; without a limit it would be gigabytes
        await rig.until(lambda: rig.shell.in_flight == 0)


# Limits of the whole


async def test_beyond_the_concurrency_limit_requests_are_turned_away(tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def patient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        await go_on.wait()
        writer.write(answer(b"done"))

    async with upstream(patient) as port, running(tmp_path, Gateway(concurrency_max=1)) as rig:
        rig.upstream_port = port
        async with client(rig.port) as first, client(rig.port) as second:
            await first.send(post(b"/v1/x"))
            await rig.until(lambda: rig.shell.in_flight == 1)
            await second.send(post(b"/v1/x"))
            assert await second.status() == 503
            go_on.set()
            assert (await first.answer())[1] == b"done"
        async with client(rig.port) as third:
            await third.send(post(b"/answer"))
            assert await third.status() == 200
        assert rig.metrics.value("kintsugi_rejected_total", "overloaded") == 1


async def test_beyond_the_connection_limit_connections_are_turned_away(tmp_path: Path) -> None:
    async with running(tmp_path, Gateway(concurrency_max=1)) as rig:
        held = [client(rig.port) for _ in range(rig.shell.connections_max)]
        for one in held:
            await one.__aenter__()
        await rig.until(lambda: len(rig.shell.connections) == rig.shell.connections_max)
        async with client(rig.port) as extra:
            head, body = await extra.answer()
            assert head.startswith(b"HTTP/1.1 503")
            assert b"retry-after: 1" in head
            assert json.loads(body)["error"]["code"] == "overloaded"
        for one in held:
            await one.__aexit__(None, None, None)


async def test_bodies_held_at_once_have_a_limit(tmp_path: Path) -> None:
    async with running(tmp_path) as rig, client(rig.port) as one:
        rig.shell.held_body_bytes_max = 1000
        await one.send(post(b"/answer", b"x" * 2000))
        assert await one.status() == 503
        await rig.until(lambda: rig.shell.held_body_bytes == 0)


async def test_without_evidence_nothing_is_let_through(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        rig.journal.healthy = False
        async with client(rig.port) as one:
            await one.send(post(b"/answer"))
            head, body = await one.answer()
            assert head.startswith(b"HTTP/1.1 503")
            assert json.loads(body)["error"]["code"] == "evidence_unavailable"
        rig.journal.healthy = True
        async with client(rig.port) as one:
            await one.send(post(b"/answer"))
            assert await one.status() == 200


async def test_an_answer_waits_for_its_record(tmp_path: Path) -> None:
    async with upstream(echo) as port, running(tmp_path) as rig, client(rig.port) as one:
        rig.upstream_port = port
        rig.journal.held = []
        await one.send(post(b"/v1/x", b"hi"))
        await rig.until(lambda: len(rig.journal.records) == 2)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await one.reader.readexactly(1)
        rig.journal.release()
        assert (await one.answer())[1] == b"hi"


async def test_a_record_counts_the_time_that_deciding_took(tmp_path: Path) -> None:
    async with upstream(echo) as port, running(tmp_path) as rig, client(rig.port) as one:
        rig.upstream_port = port
        await one.send(post(b"/v1/x", b"hi"))
        await one.answer()
        event = msgspec.json.decode(rig.journal.records[1])
        assert 0 < event["overhead_ms"] == event["latency_ms"]


async def test_a_record_that_fails_takes_the_answer_back(tmp_path: Path) -> None:
    async with upstream(echo) as port, running(tmp_path) as rig, client(rig.port) as one:
        rig.upstream_port = port
        rig.journal.error = OSError("disk full")
        await one.send(post(b"/v1/x", b"secret"))
        head, body = await one.answer()
        assert (head[:12], body) == (b"HTTP/1.1 503", b"evidence")
        assert rig.metrics.value("kintsugi_evidence_failures_total") >= 1


# Clients that leave, upstreams that fail, defects


async def test_a_client_that_leaves_is_noticed_and_upstream_is_let_go(tmp_path: Path) -> None:
    closed = asyncio.Event()

    async def patient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        assert await reader.read() == b""
        closed.set()

    async with upstream(patient) as port, running(tmp_path) as rig:
        rig.upstream_port = port
        async with client(rig.port) as one:
            await one.send(post(b"/v1/x"))
            await rig.until(lambda: rig.pool.open_connections == 1)
        await closed.wait()
        await rig.until(lambda: rig.shell.in_flight == 0)
        assert len(rig.seen(ClientAborted)) == 1
        assert len(rig.journal.records) == 2
        assert rig.metrics.value("kintsugi_client_aborts_total") == 1


async def test_a_broken_stream_is_cut_and_not_ended(tmp_path: Path) -> None:
    async def breaking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n"
            b"content-type: text/event-stream\r\n\r\n9\r\ndata: 1\n\n\r\n"
        )
        await writer.drain()

    async with upstream(breaking) as port, running(tmp_path) as rig, client(rig.port) as one:
        rig.upstream_port = port
        await one.send(post(b"/v1/x"))
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await one.answer()
        (event,) = rig.seen(UpstreamFailed)
        assert isinstance(event, UpstreamFailed)
        assert event.code == "upstream.reset"


async def test_a_dead_upstream_is_a_502(tmp_path: Path) -> None:
    async with running(tmp_path) as rig, client(rig.port) as one:
        await one.send(post(b"/v1/x"))
        head, body = await one.answer()
        assert head.startswith(b"HTTP/1.1 502")
        assert body == b"upstream.connect_failed"
        assert rig.metrics.value("kintsugi_upstream_errors_total", "connect") == 1


async def test_a_defect_ends_one_exchange_and_no_other(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        async with client(rig.port) as one:
            await one.send(post(b"/raise"))
            assert await one.status() == 500
        async with client(rig.port) as one:
            await one.send(post(b"/raise/twice"))
            with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                await one.answer()
        async with client(rig.port) as one:
            await one.send(post(b"/answer"))
            assert await one.status() == 200
        assert rig.shell.in_flight == 0


# The gateway's own routes


async def test_health_speaks_of_what_is_in_force(tmp_path: Path) -> None:
    async with running(tmp_path) as rig, client(rig.port) as one:
        await one.send(b"GET /health HTTP/1.1\r\nHost: rig\r\n\r\n")
        _, body = await one.answer()
        health = json.loads(body)
        assert health["status"] == "healthy"
        assert health["uptime_seconds"] == 0
        assert health["config_version"] == "rig@1"
        assert health["journal"] == {"healthy": True, "appended": 0, "durable": 0, "waiting": 0}
        rig.shell.note_load_error("rig@2: unknown policy")
        await one.send(b"GET /healthz HTTP/1.1\r\nHost: rig\r\n\r\n")
        _, body = await one.answer()
        assert json.loads(body)["status"] == "degraded"
        assert json.loads(body)["load_error"] == "rig@2: unknown policy"
        assert not rig.events


async def test_not_ready_without_a_configuration_or_with_a_sick_journal(tmp_path: Path) -> None:
    ready = b"GET /readyz HTTP/1.1\r\nHost: rig\r\n\r\n"
    async with running(tmp_path) as rig, client(rig.port) as one:
        await one.send(ready)
        assert await one.status() == 200
        rig.journal.healthy = False
        await one.send(ready)
        assert await one.status() == 503
        rig.journal.healthy = True
        rig.shell.in_force = None
        await one.send(ready)
        assert await one.status() == 503
        await one.send(post(b"/v1/x"))
        assert await one.status() == 503


async def test_own_routes_take_only_get(tmp_path: Path) -> None:
    async with running(tmp_path) as rig, client(rig.port) as one:
        await one.send(post(b"/health"))
        head, _ = await one.answer()
        assert head.startswith(b"HTTP/1.1 405")
        assert b"allow: GET" in head


@pytest.mark.needs("promtool")
async def test_metrics_count_what_happened_and_promtool_accepts_them(tmp_path: Path) -> None:
    async with upstream(echo) as port, running(tmp_path) as rig, client(rig.port) as one:
        rig.upstream_port = port
        await one.send(post(b"/v1/x") + post(b"/v1/x"))
        await one.answer()
        await one.answer()
        await one.send(b"GET /metrics HTTP/1.1\r\nHost: rig\r\n\r\n")
        head, body = await one.answer()
        assert b"content-type: text/plain; version=0.0.4" in head
        lines = body.decode().splitlines()
        assert 'keeptrusts_decisions_total{decision="allowed"} 2' in lines
        assert 'keeptrusts_decisions_total{decision="blocked"} 0' in lines
        assert "keeptrusts_request_duration_seconds_count 2" in lines
        assert "kintsugi_in_flight_requests 0" in lines
        checked = await asyncio.to_thread(
            subprocess.run, ["promtool", "check", "metrics"], input=body, capture_output=True
        )
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


# Drain


async def test_a_drain_finishes_what_is_in_flight_and_closes_what_is_idle(tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def patient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        await go_on.wait()
        writer.write(answer(b"done"))

    async with upstream(patient) as port, running(tmp_path) as rig:
        rig.upstream_port = port
        async with client(rig.port) as busy, client(rig.port) as idle, client(rig.port) as late:
            await idle.send(post(b"/answer"))
            await idle.answer()
            await busy.send(post(b"/v1/x"))
            await late.send(post(b"/answer", b"half")[:-2])
            await rig.until(lambda: rig.shell.in_flight == 1)
            drain = asyncio.create_task(rig.shell.drain(5))
            assert await idle.reader.read() == b""
            await late.send(b"lf")
            head, body = await late.answer()
            assert body == b"half"
            assert b"connection: close" in head
            assert not drain.done()
            go_on.set()
            head, body = await busy.answer()
            assert body == b"done"
            assert b"connection: close" in head
        assert await drain is True


async def test_a_drain_that_takes_too_long_says_so(tmp_path: Path) -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with upstream(never) as port, running(tmp_path) as rig, client(rig.port) as one:
        rig.upstream_port = port
        await one.send(post(b"/v1/x"))
        await rig.until(lambda: rig.shell.in_flight == 1)
        assert await rig.shell.drain(0.05) is False
        rig.shell.interrupt()
        assert await rig.shell.drain(5) is True
        assert b'"status":"interrupted"' in rig.journal.records[1]
        head, body = await one.answer()
        assert head.startswith(b"HTTP/1.1 503")
        assert b"connection: close" in head
        assert body == b"draining"
