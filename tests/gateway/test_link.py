"""What workers ask of their supervisor: counters, approvals, holds and quarantines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kintsugi.errors import ApiUnreachable
from kintsugi.gateway import link as links
from kintsugi.gateway.commands import Freeze
from kintsugi.gateway.commands import Redeem as RedeemCommand
from kintsugi.gateway.control_plane import Answer
from kintsugi.gateway.counter_service import CounterService
from kintsugi.gateway.link import Link
from kintsugi.gateway.oversight import Oversight
from kintsugi.gateway.oversight_keeper import OversightKeeper
from kintsugi.gateway.worker_messages import (
    FromWorker,
    Quarantined,
    Redeem,
    Redeemed,
    Reserve,
    Reserved,
    Settle,
    ToWorker,
    decode_from_worker,
    decode_to_worker,
    encode,
)
from kintsugi.model.content import Identity
from kintsugi.model.decision import Phase
from kintsugi.model.event import Quarantine, UsedApproval
from kintsugi.model.facts import Counter, CounterNeed
from kintsugi.model.oversight import (
    HeldEscalation,
    OversightPush,
    QuarantineRecord,
    Resolution,
)
from tests.gateway.playbook import NOW

NEED = CounterNeed(key="k", amount=1, limit=3, window_seconds=3600)
FROZEN = Quarantine("019aa5e0-0000-7000-8000-000000000001", "session", "s-1")
REPORT = HeldEscalation(
    id="esc-1",
    created_at=NOW,
    expires_at=NOW,
    action_digest="sha256:a",
    revision="sha256:r",
    phase=Phase.INPUT,
    policy_name="custom",
    reason_code="custom.matched",
    gateway_id="gw",
    config_version="c@1",
    identity=Identity(user_id="ada"),
)


class Channel:
    """The way to a supervisor that says only what a test makes it say."""

    def __init__(self) -> None:
        self.sent: list[FromWorker] = []
        self.open = True
        self.link = Link(asyncio.get_running_loop(), Oversight(), self.send)

    def send(self, message: FromWorker) -> bool:
        if self.open:
            self.sent.append(decode_from_worker(encode(message)))
        return self.open

    def say(self, **fields: Any) -> None:
        self.link.heard(decode_to_worker(encode(ToWorker(**fields))))


async def test_counters_come_back_with_the_number_to_settle_them_under() -> None:
    channel = Channel()
    told: list[Any] = []
    channel.link.reserve((NEED,), lambda counters, number: told.append((counters, number)))
    wish = channel.sent[0].reserve
    assert wish is not None
    channel.say(reserved=Reserved(wish.number, {"k": Counter(2.0)}))
    assert told == [({"k": Counter(2.0)}, wish.number)]
    channel.link.settle(wish.number, {"k": 1.0})
    assert channel.sent[1].settle == Settle(wish.number, {"k": 1.0})


async def test_what_nobody_waits_for_any_more_is_given_back() -> None:
    channel = Channel()
    cancel = channel.link.reserve((NEED,), lambda *_: pytest.fail("nobody waits"))
    cancel()
    wish = channel.sent[0].reserve
    assert wish is not None
    channel.say(reserved=Reserved(wish.number, {"k": Counter(0.0)}))
    assert channel.sent[1].settle == Settle(wish.number, None)


@pytest.mark.parametrize("gone", [True, False])
async def test_counters_that_do_not_answer_are_missing(
    gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "RESERVE_SECONDS", 0.0)
    channel = Channel()
    channel.open = not gone
    told = asyncio.get_running_loop().create_future()
    channel.link.reserve((NEED,), lambda counters, number: told.set_result((counters, number)))
    assert await told == ({}, 0)
    if not gone:
        assert channel.sent[-1].settle is not None  # whatever the wish took is given back


async def test_an_approval_is_asked_for_once() -> None:
    channel = Channel()
    told: list[Any] = []
    good = Resolution("esc-1", "sha256:a", "sha256:r", NOW.replace(year=2100), True)
    channel.say(resolutions=(good,))
    oversight = channel.link.oversight
    assert oversight.approval_for("sha256:a", "sha256:r", NOW) == good
    channel.link.redeem(RedeemCommand("esc-1", "sha256:a", "sha256:r", "e-1"), told.append)
    wish = channel.sent[0].redeem
    assert wish is not None
    channel.say(redeemed=Redeemed(wish.number, UsedApproval("esc-1", "rita")))
    channel.say(redeemed=Redeemed(wish.number))
    assert told == [UsedApproval("esc-1", "rita")]
    assert oversight.approval_for("sha256:a", "sha256:r", NOW) is None


@pytest.mark.parametrize("approved", [True, False])
async def test_a_held_answer_hears_its_own_decision_only(approved: bool) -> None:
    channel = Channel()
    told: list[bool | None] = []
    channel.link.hold(REPORT, 60, told.append)
    assert channel.sent[0].held == REPORT
    assert channel.link.oversight.held == 1
    other = Resolution("esc-2", "x", "y", NOW, True)
    channel.say(resolutions=(other,))
    assert told == []
    channel.say(resolutions=(other, Resolution("esc-1", "sha256:a", "sha256:r", NOW, approved)))
    assert told == [approved]
    assert channel.link.oversight.held == 0


async def test_holding_ends_with_its_time_or_its_client() -> None:
    channel = Channel()
    told = asyncio.get_running_loop().create_future()
    channel.link.hold(REPORT, 0, told.set_result)
    assert await told is None
    cancel = channel.link.hold(REPORT, 60, lambda _: pytest.fail("the client left"))
    cancel()
    cancel()
    assert channel.link.oversight.held == 0


async def test_a_quarantine_holds_here_before_anybody_else_knows() -> None:
    channel = Channel()
    channel.link.freeze(Freeze(FROZEN, "custom", "custom.matched", "c@1"))
    oversight = channel.link.oversight
    assert oversight.stops(Identity(session_id="s-1"), "") == FROZEN
    assert channel.sent[0].quarantined is not None
    channel.say(quarantines=())
    assert oversight.stops(Identity(session_id="s-1"), "") is None


# The supervisor's side


def service(path: Path, now: list[float]) -> CounterService:
    return CounterService(path, clock=lambda: now[0])


def test_counts_survive_the_supervisor_and_a_torn_line(tmp_path: Path) -> None:
    path, now = tmp_path / "counters.jsonl", [1_700_000_000.0]
    first = service(path, now)
    for number in range(2):
        assert first.reserve("w0", Reserve(number, (NEED,))).counters["k"].granted
    first.settle("w0", Settle(0, {}))
    first.close()  # killed: the second one was never settled
    with path.open("ab") as file:
        file.write(b'["k",3600,17')
    now[0] += 60
    again = service(path, now)
    assert again.reserve("w0", Reserve(1, (NEED,))).counters["k"].used == 2
    assert not again.reserve("w0", Reserve(2, (NEED,))).counters["k"].granted
    again.close()


def test_the_reservations_of_a_dead_worker_are_free_again(tmp_path: Path) -> None:
    counters = service(tmp_path / "counters.jsonl", [1_700_000_000.0])
    for number in range(3):
        counters.reserve("w0", Reserve(number, (NEED,)))
    counters.release_all("w0")
    assert counters.reservations == 0
    assert counters.reserve("w1", Reserve(0, (NEED,))).counters["k"].used == 0
    counters.close()


class Reviewers:
    """A control plane that answers as it is told."""

    def __init__(self, answer: Answer | None) -> None:
        self.answer = answer
        self.asked: list[tuple[str, bytes]] = []

    def request(self, _method: str, path: str, body: bytes) -> Answer:
        self.asked.append((path, body))
        if self.answer is None:
            raise ApiUnreachable
        return self.answer

    def abort(self) -> None:
        """Nothing is under way."""


def keeper(
    tmp_path: Path, told: list[ToWorker], connect: Callable[[], Any] | None = None
) -> OversightKeeper:
    return OversightKeeper(tmp_path / "quarantines.json", tell=told.append, connect=connect)


def record(quarantine: Quarantine) -> QuarantineRecord:
    return QuarantineRecord(
        quarantine.id, quarantine.scope, quarantine.subject, NOW, "gw", "custom", "custom.matched"
    )


def test_a_quarantine_outlives_the_gateway_until_the_control_plane_ends_it(tmp_path: Path) -> None:
    told: list[ToWorker] = []
    keeper(tmp_path, told).quarantined(Quarantined(FROZEN, "custom", "custom.matched", "c@1"))
    assert told == [ToWorker(quarantines=(FROZEN,))]
    again = keeper(tmp_path, told)
    assert again.greet() == [ToWorker(quarantines=(FROZEN,))]
    again.take(OversightPush())  # its record has not arrived there yet
    assert again.quarantines == 1
    again.take(OversightPush(quarantines=(record(FROZEN),)))
    assert len(told) == 1  # nothing new for the workers
    again.take(OversightPush())
    assert told[-1] == ToWorker(quarantines=())
    assert keeper(tmp_path, told).greet() == []


def test_one_that_was_released_before_its_record_came_back_ends_too(tmp_path: Path) -> None:
    told: list[ToWorker] = []
    kept = keeper(tmp_path, told)
    kept.quarantined(Quarantined(FROZEN, "custom", "custom.matched", "c@1"))
    kept.take(OversightPush(released=(FROZEN.id,)))
    assert kept.quarantines == 0


def test_a_file_that_cannot_be_read_is_kept_for_somebody_to_look_at(tmp_path: Path) -> None:
    (tmp_path / "quarantines.json").write_text("{")
    assert keeper(tmp_path, []).quarantines == 0
    assert len(list(tmp_path.glob("quarantines.unreadable-*"))) == 1


USED = msgspec.json.encode({"data": {"resolved_by": "rita", "resolved_at": NOW}})


@pytest.mark.parametrize(
    ("answer", "approval"),
    [
        (Answer(200, USED), UsedApproval("esc-1", "rita", NOW)),
        (Answer(409, b"{}"), None),
        (None, None),
    ],
)
async def test_an_approval_counts_only_if_the_control_plane_says_so(
    tmp_path: Path, answer: Answer | None, approval: UsedApproval | None
) -> None:
    plane = Reviewers(answer)
    kept = keeper(tmp_path, [], lambda: plane)
    told = asyncio.get_running_loop().create_future()
    kept.redeem(Redeem(5, "esc-1", "sha256:a", "sha256:r", "e-1"), told.set_result)
    assert await told == Redeemed(5, approval)
    path, body = plane.asked[0]
    assert path == "/v1/escalations/esc-1/use"
    assert msgspec.json.decode(body)["event_id"] == "e-1"
    kept.close()


async def test_without_a_control_plane_no_approval_is_good(tmp_path: Path) -> None:
    told: list[Redeemed] = []
    keeper(tmp_path, []).redeem(Redeem(5, "esc-1", "a", "r", "e-1"), told.append)
    assert told == [Redeemed(5)]
