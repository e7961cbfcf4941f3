"""Streams on a real server: nothing missed, nothing twice, and an end when there must be one."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import msgspec
import pytest

from kintsugi.api.app import end_streams
from kintsugi.api.feed import ChangeFeed
from kintsugi.api.permissions import Scope
from kintsugi.errors import StoreUnavailable
from kintsugi.model.decision import Phase
from kintsugi.model.event import Quarantine, RaisedEscalation
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.events import StoredEvent
from kintsugi.model.overrides import Judgement
from kintsugi.model.stores import Stores
from kintsugi.model.verdict import Verdict
from kintsugi.store.memory import memory_stores
from kintsugi.store.memory_changes import MemoryChanges
from tests.control_plane import (
    CONFIGURATION,
    NOON,
    bearer,
    blocked_event,
    control_plane,
    make_event,
    make_token,
    served,
)


class Frame(NamedTuple):
    event: str
    position: int
    data: Any


class Server(NamedTuple):
    address: str
    stores: Stores
    token: str


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    stores = memory_stores()
    with served(control_plane(stores, tmp_path)) as address:
        yield Server(address, stores, make_token(stores))


@contextmanager
def reading(
    server: Server, path: str, *, last_event_id: str = "", token: str = ""
) -> Iterator[Iterator[Frame]]:
    """Frames of a stream that is open: its first comment has arrived."""
    headers = bearer(token or server.token)
    if last_event_id:
        headers["last-event-id"] = last_event_id
    with (
        httpx2.Client(timeout=10) as client,
        client.stream("GET", server.address + path, headers=headers) as answer,
    ):
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert next(lines).startswith(":")
        yield frames(lines)


# What every follower is told first where people have decided nothing.
NOTHING_DECIDED: dict[str, Any] = {
    "resolutions": [],
    "quarantines": [],
    "released": [],
    "containments": [],
}


def frames(lines: Iterator[str]) -> Iterator[Frame]:
    fields: dict[str, str] = {}
    for line in lines:
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            data = msgspec.json.decode(fields["data"])
            if fields["event"] != "oversight" or data != NOTHING_DECIDED:
                yield Frame(fields["event"], int(fields.get("id", 0)), data)
            fields = {}


def take(stream: Iterator[Frame], count: int) -> list[Frame]:
    return [next(stream) for _ in range(count)]


def test_new_decisions_arrive_without_payload_in_the_order_of_their_positions(
    server: Server,
) -> None:
    server.stores.events.append([make_event(0)])
    with reading(server, "/v1/events/tail") as stream:
        batch = [make_event(number) for number in range(1, 4)]
        server.stores.events.append(batch)
        seen = take(stream, 3)
    assert [frame.data["id"] for frame in seen] == [event.id for event in batch]
    assert [frame.position for frame in seen] == [2, 3, 4]
    assert not any(frame.data.get("payload") for frame in seen)


def test_a_reader_that_comes_back_goes_on_after_the_last_position(server: Server) -> None:
    batch = [make_event(number) for number in range(450)]
    server.stores.events.append(batch)
    with reading(server, "/v1/events/tail", last_event_id="100") as stream:
        seen = take(stream, 350)  # more than one piece
        more = make_event(1000)
        server.stores.events.append([more])
        seen += take(stream, 1)
    assert [frame.position for frame in seen] == [*range(101, 452)]
    assert seen[-1].data["id"] == more.id


def test_filters_hold_for_a_stream_and_since_starts_in_the_past(server: Server) -> None:
    first, second = blocked_event(1), blocked_event(3)
    server.stores.events.append([make_event(0), first, make_event(2)])
    with reading(server, "/v1/events/tail?outcome=blocked&since=2026-04-23T12:00:00Z") as stream:
        assert next(stream).data["id"] == first.id
        server.stores.events.append([make_event(4), second])
        assert next(stream).data["id"] == second.id


def test_concurrent_writers_and_a_reader_agree_on_every_event(server: Server) -> None:
    def write(start: int) -> None:
        for number in range(start, start + 60):
            server.stores.events.append([make_event(number)])

    with reading(server, "/v1/events/tail") as stream:
        writers = [threading.Thread(target=write, args=(n * 100,)) for n in range(3)]
        for writer in writers:
            writer.start()
        seen = take(stream, 180)
        for writer in writers:
            writer.join()
    assert [frame.position for frame in seen] == [*range(1, 181)]


@pytest.mark.parametrize("position", ["-1", "x", "1e3", "9" * 19 + "9"])
def test_a_position_that_is_none_is_refused(server: Server, position: str) -> None:
    headers = {**bearer(server.token), "last-event-id": position}
    answer = httpx2.get(f"{server.address}/v1/events/tail", headers=headers)
    assert answer.status_code == 422


@pytest.mark.alone
def test_a_stream_ends_within_two_seconds_of_its_token(server: Server) -> None:
    text = make_token(server.stores, Scope.EVENTS_READ)
    with reading(server, "/v1/events/tail", token=text) as stream:
        server.stores.tokens.revoke(text.split("_")[1], now=NOON)
        started = time.monotonic()
        assert list(stream) == []
        assert time.monotonic() - started < 3


def test_a_server_that_stops_ends_its_streams(tmp_path: Path) -> None:
    stores = memory_stores()
    app = control_plane(stores, tmp_path)
    with served(app) as address:
        server = Server(address, stores, make_token(stores))
        with reading(server, "/v1/events/tail") as stream:
            end_streams(app)
            assert list(stream) == []


@pytest.mark.alone
def test_a_follower_gets_the_newest_version_and_each_new_one_at_once(server: Server) -> None:
    address = f"{server.address}/v1/configurations/support-prod"
    headers = bearer(server.token)
    put = httpx2.put(address, json={"content": CONFIGURATION}, headers=headers)
    assert put.status_code == 200, put.text
    with reading(server, "/v1/gateways/gw-1/follow?config_id=support-prod") as stream:
        first = next(stream)
        assert first.data == {
            "id": "support-prod",
            "version": 1,
            "revision": put.json()["data"]["revision"],
            "content": CONFIGURATION,
        }
        started = time.monotonic()
        httpx2.put(address, json={"content": CONFIGURATION + "# 2\n"}, headers=headers)
        second = next(stream)
        assert (second.event, second.data["version"]) == ("configuration", 2)
        assert time.monotonic() - started < 1


def test_a_follower_of_nothing_waits_for_the_first_version(server: Server) -> None:
    with reading(server, "/v1/gateways/gw-1/follow?config_id=support-prod") as stream:
        httpx2.put(
            f"{server.address}/v1/configurations/support-prod",
            json={"content": CONFIGURATION},
            headers=bearer(server.token),
        )
        assert next(stream).data["version"] == 1


def test_a_change_between_reading_and_waiting_is_not_slept_through() -> None:
    feed = ChangeFeed(MemoryChanges())

    async def scenario() -> bool:
        seen = feed.generation(("events",))
        feed.announce(("events",))
        return await feed.wait(("events",), after=seen, timeout_seconds=60)

    assert asyncio.run(scenario())


def test_a_quiet_feed_answers_after_the_timeout() -> None:
    feed = ChangeFeed(MemoryChanges())

    async def scenario() -> bool:
        return await feed.wait(("events",), after=0, timeout_seconds=0.01)

    assert not asyncio.run(scenario())


def test_a_stream_ends_quietly_when_the_store_is_gone(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> int:
        raise StoreUnavailable

    with reading(server, "/v1/events/tail") as stream:
        monkeypatch.setattr(server.stores.events, "last_position", fail)
        server.stores.events.append([make_event(1)])
        assert list(stream) == []
    assert httpx2.get(f"{server.address}/readyz").json()["code"] == "store.unavailable"


def test_a_reader_that_does_not_read_makes_the_server_read_no_further(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    tail = server.stores.events.tail

    def counted(*, after: int, where: EventFilter, limit: int) -> list[StoredEvent]:
        asked.append(after)
        return tail(after=after, where=where, limit=limit)

    monkeypatch.setattr(server.stores.events, "tail", counted)
    long = "x" * 2000
    server.stores.events.append([make_event(n, error=long) for n in range(20_000)])
    with reading(server, "/v1/events/tail", last_event_id="0") as stream:
        time.sleep(1.0)  # all that the sockets hold has been sent by now
        reached = max(asked)
        assert reached < 10_000
        assert [frame.position for frame in take(stream, 20_000)] == [*range(1, 20_001)]


def test_a_follower_hears_at_once_what_people_decide(server: Server) -> None:
    escalated, frozen = make_event(1), make_event(2)
    escalated = msgspec.structs.replace(
        escalated,
        verdict=Verdict.ESCALATE,
        escalation=RaisedEscalation(
            escalated.id, Phase.INPUT, "sha256:action", datetime(2100, 1, 1, tzinfo=UTC)
        ),
    )
    frozen = msgspec.structs.replace(
        frozen,
        verdict=Verdict.QUARANTINE,
        quarantine=Quarantine(frozen.id, "session", "s-1"),
    )
    oversight = server.stores.oversight
    with reading(server, "/v1/gateways/gw-1/follow?config_id=support") as stream:
        server.stores.events.append([escalated, frozen])
        assert next(stream).data["quarantines"][0]["subject"] == "s-1"
        now = escalated.timestamp
        oversight.resolve(escalated.id, Judgement(True, "rita", "known"), now=now)
        (approval,) = next(stream).data["resolutions"]
        assert approval["action_digest"] == "sha256:action"
        assert approval["approved"] is True
        oversight.release(frozen.id, by="rita", reason="over", now=now)
        assert next(stream).data["quarantines"] == []
