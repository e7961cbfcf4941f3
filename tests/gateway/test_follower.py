"""Following: the newest version in force, the last good one kept, and honest reports."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.errors import ApiRefused, ApiUnreachable, ConfigurationInvalid
from kintsugi.gateway.control_plane import ControlPlane
from kintsugi.gateway.follower import (
    FollowedConfiguration,
    Follower,
    ServerSentEvent,
    load_last_good,
    read_server_sent_events,
    save_last_good,
)
from kintsugi.model.gateways import GatewayReport
from tests.gateway.fake_control_plane import TOKEN, FakeControlPlane, running

SUPPORT = FollowedConfiguration("support", 3, "sha256:3", "pack: {name: support}\n")


@pytest.fixture
def fake() -> Iterator[FakeControlPlane]:
    with running() as control_plane:
        yield control_plane


class Gateway:
    """What the supervisor gives the follower, and what came of it."""

    def __init__(self) -> None:
        self.loaded: list[FollowedConfiguration] = []
        self.refuses = False
        self.file: tuple[str, str] | None = None

    def put_in_force(self, configuration: FollowedConfiguration) -> None:
        if self.refuses:
            raise ConfigurationInvalid("worker w0 cannot load it")
        self.loaded.append(configuration)

    def report(self) -> GatewayReport:
        return GatewayReport(
            id="gw-1", config_id="support", listen="127.0.0.1:1", version="1", waiting=7
        )

    def first_version(self) -> tuple[str, str] | None:
        return self.file


@contextmanager
def following(
    fake: FakeControlPlane, directory: Path, gateway: Gateway, **options: Any
) -> Iterator[Follower]:
    follower = Follower(
        lambda: ControlPlane(fake.url, lambda: TOKEN, timeout_seconds=30),
        gateway_id="gw-1",
        config_id="support",
        gateway_dir=directory,
        put_in_force=gateway.put_in_force,
        report=gateway.report,
        first_version=gateway.first_version,
        **{"report_seconds": 0.05, "backoff_seconds_max": 0.05, **options},
    )
    follower.start()
    try:
        yield follower
    finally:
        follower.stop()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


@pytest.mark.alone
def test_the_newest_version_is_put_in_force_and_kept(
    fake: FakeControlPlane, tmp_path: Path
) -> None:
    gateway = Gateway()
    fake.publish("first")
    fake.publish("second")
    with following(fake, tmp_path, gateway) as follower:
        until(lambda: load_last_good(tmp_path, "support") is not None)
        assert [loaded.version for loaded in gateway.loaded] == [2]
        began = time.monotonic()
        fake.publish("third")
        until(lambda: len(gateway.loaded) == 2)
        assert time.monotonic() - began < 1, "a change has to be in force within a second"
        until(lambda: load_last_good(tmp_path, "support") == gateway.loaded[-1])
        assert follower.in_force is not None
        assert follower.in_force.config_version == "support@3"
    assert (tmp_path / "last-good.yaml").read_text() == "third"


def test_a_version_that_cannot_be_put_in_force_is_not_kept_and_is_tried_again(
    fake: FakeControlPlane, tmp_path: Path
) -> None:
    gateway = Gateway()
    gateway.refuses = True
    fake.publish("first")
    with following(fake, tmp_path, gateway) as follower:
        until(lambda: follower.load_error == "support@1: worker w0 cannot load it")
        assert load_last_good(tmp_path, "support") is None
        gateway.refuses = False
        until(lambda: len(gateway.loaded) == 1)
        until(lambda: follower.load_error == "")


def test_a_control_plane_without_the_configuration_is_given_the_file(
    fake: FakeControlPlane, tmp_path: Path
) -> None:
    gateway = Gateway()
    gateway.file = ("pack: {}\n", "imported from policy-config.yaml")
    with following(fake, tmp_path, gateway):
        fake.wait(lambda: fake.versions == ["pack: {}\n"])
        until(lambda: [loaded.version for loaded in gateway.loaded] == [1])
    assert fake.notes == ["imported from policy-config.yaml"]


def test_a_control_plane_that_refuses_the_file_is_followed_all_the_same(
    fake: FakeControlPlane, tmp_path: Path
) -> None:
    gateway = Gateway()
    gateway.file = ("pack: {}\n", "imported")
    fake.refuses_publishing = True
    with following(fake, tmp_path, gateway) as follower:
        until(lambda: follower.connected)
        fake.publish("by somebody else")
        until(lambda: [loaded.content for loaded in gateway.loaded] == ["by somebody else"])


def test_the_version_that_runs_already_is_not_loaded_again(
    fake: FakeControlPlane, tmp_path: Path
) -> None:
    gateway = Gateway()
    fake.publish("first")
    running_already = FollowedConfiguration("support", 1, "sha256:1", "first")
    with following(fake, tmp_path, gateway, in_force=running_already):
        fake.publish("second")
        until(lambda: [loaded.version for loaded in gateway.loaded] == [2])


def test_an_outage_changes_nothing_and_ends_by_itself(
    fake: FakeControlPlane, tmp_path: Path
) -> None:
    gateway = Gateway()
    fake.publish("first")
    with following(fake, tmp_path, gateway) as follower:
        until(lambda: len(gateway.loaded) == 1 and follower.connected)
        fake.stop()
        until(lambda: not follower.connected)
        with pytest.raises(ApiUnreachable):
            follower.publish("x", note="")
        fake.publish("second")
        fake.start()
        until(lambda: len(gateway.loaded) == 2)
        until(lambda: follower.connected)


def test_the_gateway_registers_and_reports_again_and_again(
    fake: FakeControlPlane, tmp_path: Path
) -> None:
    with following(fake, tmp_path, Gateway(), report_seconds=30) as follower:
        fake.wait(lambda: len(fake.reports) == 1)
        assert fake.reports[0]["id"] == "gw-1"
        assert fake.reports[0]["waiting"] == 7
        until(lambda: follower.connected)
        follower.changed()
        fake.wait(lambda: len(fake.reports) == 2)


def test_a_file_that_was_read_again_can_be_published(
    fake: FakeControlPlane, tmp_path: Path
) -> None:
    gateway = Gateway()
    with following(fake, tmp_path, gateway) as follower:
        assert follower.publish("new", note="reloaded from file") == 1
        until(lambda: [loaded.content for loaded in gateway.loaded] == ["new"])
        fake.refuses_publishing = True
        with pytest.raises(ConfigurationInvalid, match=r"policy\.x: unknown"):
            follower.publish("bad", note="")


def test_a_token_without_rights_is_a_refusal_that_does_not_show_it(
    fake: FakeControlPlane, tmp_path: Path
) -> None:
    follower = Follower(
        lambda: ControlPlane(fake.url, lambda: "wrong-secret"),
        gateway_id="gw-1",
        config_id="support",
        gateway_dir=tmp_path,
        put_in_force=Gateway().put_in_force,
        report=Gateway().report,
        first_version=lambda: None,
    )
    with pytest.raises(ApiRefused) as refusal:
        follower.publish("x", note="")
    assert "wrong-secret" not in str(refusal.value)


@pytest.mark.alone
def test_stopping_does_not_wait_for_the_stream(fake: FakeControlPlane, tmp_path: Path) -> None:
    with following(fake, tmp_path, Gateway()) as follower:
        until(lambda: follower.connected)
        began = time.monotonic()
        follower.stop()
        assert time.monotonic() - began < 2


def test_what_was_kept_is_loaded(tmp_path: Path) -> None:
    assert load_last_good(tmp_path, "support") is None
    save_last_good(tmp_path, SUPPORT)
    assert load_last_good(tmp_path, "support") == SUPPORT
    assert load_last_good(tmp_path, "another") is None


@pytest.mark.parametrize("damage", [b"", b"{", b"[]"])
def test_an_unreadable_last_good_is_none(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "last-good.json").write_bytes(damage)
    assert load_last_good(tmp_path, "support") is None


def test_an_altered_last_good_is_none(tmp_path: Path) -> None:
    save_last_good(tmp_path, SUPPORT)
    path = tmp_path / "last-good.json"
    path.write_bytes(path.read_bytes().replace(b"name: support", b"name: relaxed"))
    assert load_last_good(tmp_path, "support") is None


@given(st.lists(st.tuples(st.sampled_from(["configuration", "x"]), st.text('ab{}": ')), max_size=5))
def test_events_are_read_as_they_were_written(events: list[tuple[str, str]]) -> None:
    wire = "".join(f": hello\nevent: {name}\ndata: {data}\n\n" for name, data in events)
    found = read_server_sent_events(io.BytesIO(wire.encode()))
    assert [event for event in found if event.name] == [
        ServerSentEvent(name, data) for name, data in events
    ]


def test_an_event_may_have_many_lines_of_data_and_needs_no_name() -> None:
    wire = b"data: a\r\ndata:b\r\nid: 7\r\n\r\nevent: empty\n\ndata: cut off"
    assert list(read_server_sent_events(io.BytesIO(wire))) == [ServerSentEvent("message", "a\nb")]
