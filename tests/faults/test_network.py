"""Between gateway and control plane everything may be lost, doubled or late; clocks may jump."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from kintsugi.errors import ApiUnreachable
from kintsugi.gateway.control_plane import Answer, ControlPlane
from kintsugi.gateway.kept_segments import Keep
from kintsugi.gateway.recovery import recover
from kintsugi.gateway.shipper import Shipper
from kintsugi.ledger.journal_segments import Disk, SegmentSeries
from kintsugi.ledger.leaves import EventsLeaf
from kintsugi.model.event import Admission
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.stores import Stores
from kintsugi.store.memory import memory_stores
from tests.control_plane import Clock, control_plane, make_token, served
from tests.store.made import event

pytestmark = pytest.mark.faults

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
START = datetime(2026, 4, 23, 9, tzinfo=UTC)


class Wire(ControlPlane):
    """A connection on which something happens to every request, as ``fate`` says."""

    def __init__(self, url: str, token: str, fate: Callable[[], str]) -> None:
        super().__init__(url, lambda: token, timeout_seconds=5)
        self._fate = fate
        self._late: list[tuple[str, bytes, str]] = []

    def request(
        self, method: str, path: str, body: bytes = b"", content_type: str = "application/json"
    ) -> Answer:
        match self._fate():
            case "lost":
                raise ApiUnreachable("the request was lost")
            case "answer lost":
                super().request(method, path, body, content_type)
                raise ApiUnreachable("the answer was lost")
            case "doubled":
                super().request(method, path, body, content_type)
            case "late":
                # It waits somewhere on its way, arrives after later ones, and is answered for.
                self._late.append((path, body, content_type))
                return Answer(200, b'{"data":{"stored":0,"duplicates":0}}', {})
            case "late ones arrive":
                for late in self._late:
                    super().request("POST", *late)
                self._late.clear()
        return super().request(method, path, body, content_type)


class Site:
    """A worker's journal and a control plane, with a clock that the test moves."""

    def __init__(self, folder: Path, stores: Stores, url: str, clock: Clock) -> None:
        self.journal = folder / "journal"
        self.journal.mkdir()
        self.stores = stores
        self.clock = clock
        self.written: list[str] = []
        self._url = url
        self._token = make_token(stores)
        self._number = 0
        self._writer = self.open()

    def open(self) -> SegmentSeries:
        """A worker starts."""
        self._writer = SegmentSeries(
            self.journal,
            gateway_id="gw-1",
            worker_id="w0",
            clock=self.clock,
            segment_bytes_max=100_000,
            disk=Disk(),
        )
        return self._writer

    def decide(self, count: int = 1) -> None:
        """So many exchanges, a second each."""
        for _ in range(count):
            self.clock.now += SECOND
            self._number += 1
            one = event(self._number, at=self.clock.now)
            admitted = Admission(
                id=one.id,
                timestamp=one.timestamp,
                gateway_id="gw-1",
                worker_id="w0",
                dialect=one.dialect,
                config_version=one.config_version,
                revision=one.revision,
                request_digest="",
            )
            self._writer.write([msgspec.json.encode(admitted), msgspec.json.encode(one)])
            self._writer.sync()
            self.written.append(one.id)

    def die(self) -> None:
        """The worker is killed; what is next is a recovery and a new one."""
        self._writer.close()
        recover(self.journal, gateway_id="gw-1", engine_version="1", clock=self.clock)
        self.open()

    @contextmanager
    def shipping(self, fate: Callable[[], str] = lambda: "") -> Iterator[Shipper]:
        shipper = Shipper(
            self.journal,
            self.journal.parent,
            Wire(self._url, self._token, fate),
            keep=Keep(1e12, 1 << 30),
            poll_seconds=0.005,
            backoff_seconds_max=0.01,
            clock=self.clock,
        )
        shipper.start()
        try:
            yield shipper
        finally:
            shipper.stop()

    def holds(self) -> None:
        """Nothing is missing, nothing is double, no journal has a gap, and the log tells it all."""
        self._writer.close()
        with self.shipping() as shipper:
            assert shipper.flush(timeout_seconds=30)
            assert shipper.tally.waiting == 0
            # As in answer to the gateway's next report.
            shipper.send_again(self.stores.events.behind(shipper.heads()))
            until(lambda: self.stores.events.behind(shipper.heads()) == ())
        stored = self.stores.events.tail(after=0, where=EventFilter(), limit=10**6)
        assert sorted(one.event.id for one in stored) == sorted(self.written)
        open_signals, _ = self.stores.signals.page("unresolved", limit=5)
        assert open_signals == []
        size, _ = self.stores.log.edge()
        leaves = self.stores.log.stretch(first=0, limit=size)
        told = [msgspec.json.decode(leaf.data, type=EventsLeaf) for leaf in leaves]
        assert sum(leaf.last_position - leaf.first_position + 1 for leaf in told) == len(stored)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    right = Clock(START + 2 * HOUR)
    stores = memory_stores(now=right)
    with served(control_plane(stores, tmp_path, right)) as url:
        yield Site(tmp_path, stores, url, Clock(START))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def test_an_hour_without_a_network_costs_no_record(site: Site) -> None:
    with site.shipping():
        site.decide(20)
    for _ in range(4):  # the gateway is restarted now and then meanwhile
        with site.shipping(lambda: "lost") as shipper:
            site.decide(900)
            assert not shipper.flush(timeout_seconds=0.05)
        site.die()
    assert site.clock.now - START > HOUR
    assert len(site.stores.events.tail(after=0, where=EventFilter(), limit=10**6)) <= 20
    site.holds()


@pytest.mark.parametrize("seed", range(4))
def test_lost_doubled_and_late_batches_change_nothing_in_the_end(site: Site, seed: int) -> None:
    chance = random.Random(seed)
    fates = ["", "", "lost", "answer lost", "doubled", "late", "late ones arrive"]
    for _ in range(12):
        with site.shipping(lambda: chance.choice(fates)) as shipper:
            site.decide(chance.randint(1, 60))
            shipper.flush(timeout_seconds=0.2)
        if chance.random() < 0.3:
            site.die()
    site.holds()


@pytest.mark.parametrize("jump", [-400 * 24 * HOUR, -HOUR, HOUR, 20 * HOUR])
def test_a_clock_that_jumps_loses_and_doubles_nothing(site: Site, jump: timedelta) -> None:
    with site.shipping() as shipper:
        site.decide(10)
        site.clock.now += jump
        site.decide(10)
        site.die()
        site.decide(10)
        site.clock.now -= jump
        site.decide(10)
        site.die()
        site.decide(10)
        assert shipper.flush(timeout_seconds=10)
    site.holds()


def test_a_clock_that_is_years_ahead_sets_records_aside_and_says_so(site: Site) -> None:
    with site.shipping() as shipper:
        site.decide(3)
        assert shipper.flush(timeout_seconds=10)
        ahead, ahead_count = 400 * 24 * HOUR, 5
        site.clock.now += ahead
        site.decide(ahead_count)
        site.clock.now -= ahead
        assert shipper.flush(timeout_seconds=10)
        assert shipper.tally.refused == ahead_count
        site.decide(2)
        assert shipper.flush(timeout_seconds=10)
    aside = (site.journal.parent / "rejected.jsonl").read_text().splitlines()
    kept = [msgspec.json.decode(line)["record"]["id"] for line in aside]
    assert kept == site.written[3:8]
    site.written = site.written[:3] + site.written[8:]
    site.holds()
