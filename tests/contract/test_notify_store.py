"""Targets and deliveries: each notice to each target once, one runner at a time, nothing lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import msgspec
import psycopg
import pytest

from kintsugi.errors import InvalidInput, NotFound, StateConflict, VersionConflict
from kintsugi.model.notify import Route, Secrets, Try, Webhook, Work, with_try
from kintsugi.model.stores import Stores
from tests.contract.conftest import Maker
from tests.databases import NOON
from tests.notify.made import MINUTE, SECRET, channel, told, webhook

SECRETS = Secrets(SECRET)


def claim(stores: Stores, runner: str = "a", *, minutes: int = 0, limit: int = 100) -> Work | None:
    return stores.notify.claim(runner, now=NOON + minutes * MINUTE, lease_seconds=60, limit=limit)


def claimed(stores: Stores, runner: str = "a", *, minutes: int = 0, limit: int = 100) -> Work:
    work = claim(stores, runner, minutes=minutes, limit=limit)
    assert work is not None
    return work


def deliver(stores: Stores, work: Work, *, minutes: int = 0) -> None:
    now = NOON + minutes * MINUTE
    done = [
        with_try(one, Try(now, 200), state="delivered", finished_at=now) for one in work.deliveries
    ]
    stores.notify.settle(work, work.target, done, now=now, release=True)


def test_targets_come_back_whole_by_id_and_by_name(stores: Stores) -> None:
    hook, room = webhook(), channel()
    stores.notify.add_target(room, Secrets("slack://a/b/c"))
    stores.notify.add_target(hook, SECRETS)
    assert stores.notify.target(hook.id) == stores.notify.target("siem") == hook
    assert stores.notify.targets() == [room, hook]
    assert stores.notify.secrets(room.id) == Secrets("slack://a/b/c")
    for unknown in ("nobody", webhook().id, "a\0b"):
        with pytest.raises(NotFound):
            stores.notify.target(unknown)


def test_a_name_and_an_id_are_given_once(stores: Stores) -> None:
    hook = webhook()
    stores.notify.add_target(hook, SECRETS)
    with pytest.raises(StateConflict, match="siem"):
        stores.notify.add_target(webhook(), SECRETS)
    with pytest.raises(InvalidInput):
        stores.notify.add_target(msgspec.structs.replace(hook, name="other"), SECRETS)
    with pytest.raises(InvalidInput):
        stores.notify.add_target(webhook("third", id="nonsense"), SECRETS)


def test_a_change_counts_up_and_a_stale_one_is_refused(stores: Stores) -> None:
    stores.notify.add_target(webhook(), SECRETS)
    stores.notify.add_target(channel(), Secrets("slack://a/b/c"))

    def renamed(to: str) -> Webhook:
        return stores.notify.change_target(  # type: ignore[return-value]
            "siem",
            lambda one, _: (msgspec.structs.replace(one, name=to), Secrets("whsec_new", SECRET)),
            expected_version=1,
        )

    with pytest.raises(StateConflict):
        renamed("room")
    after = renamed("splunk")
    assert (after.name, after.version) == ("splunk", 2)
    assert stores.notify.secrets(after.id) == Secrets("whsec_new", SECRET)
    with pytest.raises(NotFound):
        renamed("siem again")
    with pytest.raises(VersionConflict):
        stores.notify.change_target("splunk", lambda one, held: (one, held), expected_version=1)


def test_secrets_lie_sealed_and_move_with_the_keys(stores: Stores, maker: Maker) -> None:
    if not maker.conninfo:
        return  # memory keeps nothing that could be read
    hook = webhook()
    stores.notify.add_target(hook, SECRETS)
    stores.vault.rotate(now=NOON)
    while stores.vault.rewrap(limit=10, now=NOON):
        pass
    assert all(not one.data_keys for one in stores.vault.key_uses() if not one.current)
    assert stores.notify.secrets(hook.id) == SECRETS
    with psycopg.connect(maker.conninfo) as connection:
        rows = connection.execute("SELECT t::text FROM kintsugi.notify_targets AS t").fetchall()
    assert SECRET not in str(rows)
    assert SECRET.encode().hex() not in str(rows)
    stores.notify.remove_target(hook.id)
    with psycopg.connect(maker.conninfo) as connection:
        left = connection.execute("SELECT count(*) FROM kintsugi.data_keys").fetchone()
    assert left == (0,)


def test_a_notice_is_handed_once_to_each_target_that_takes_it(stores: Stores) -> None:
    grave = webhook("grave", routes=(Route(("incident.*",), "critical"),))
    stores.notify.add_target(webhook("all"), SECRETS)
    stores.notify.add_target(grave, SECRETS)
    stores.notify.add_target(webhook("off", enabled=False), SECRETS)
    stores.notices.add([told(1), told(2, severity="critical"), told(3, "obligation.overdue")])
    assert [stores.notify.fan_out(now=NOON, limit=2) for _ in range(3)] == [2, 1, 0]
    waiting = {
        one.name: len(stores.notify.deliveries(one.id, "waiting", limit=10)[0])
        for one in stores.notify.targets()
    }
    assert waiting == {"all": 3, "grave": 1, "off": 0}


def test_one_runner_delivers_to_a_target_and_a_dead_one_loses_it(stores: Stores) -> None:
    stores.notify.add_target(webhook(), SECRETS)
    stores.notices.add([told(number) for number in range(3)])
    stores.notify.fan_out(now=NOON, limit=10)
    first = claimed(stores, "a")
    assert [one.notice.subject for one in first.deliveries] == [
        f"incident:INC-{number:06d}" for number in range(3)
    ]
    assert claim(stores, "b") is None
    second = claimed(stores, "b", minutes=2)
    with pytest.raises(VersionConflict):
        deliver(stores, first)
    deliver(stores, second, minutes=2)
    assert claim(stores, "a", minutes=3) is None
    assert stores.notify.count(second.target.id, "delivered", ceiling=2) == 2


def test_what_fails_waits_and_a_target_that_fails_rests(stores: Stores) -> None:
    stores.notify.add_target(webhook(), SECRETS)
    stores.notices.add([told(1), told(2)])
    stores.notify.fan_out(now=NOON, limit=10)
    work = claimed(stores)
    failed = with_try(work.deliveries[0], Try(NOON, 500, "500"), due_at=NOON + 10 * MINUTE)
    after = msgspec.structs.replace(work.target, failures=1, failing_since=NOON)
    rest = NOON + MINUTE
    stores.notify.settle(work, after, [failed], now=NOON, resting_until=rest, release=True)
    assert claim(stores) is None
    [second] = claimed(stores, minutes=1).deliveries
    assert second.id == work.deliveries[1].id
    [first] = [one for one in claimed(stores, "b", minutes=11).deliveries if one.id == failed.id]
    assert (first.attempts, first.tries) == (1, failed.tries)
    assert stores.notify.target("siem").failing_since == NOON


def test_what_people_change_meanwhile_stays(stores: Stores) -> None:
    stores.notify.add_target(webhook(), SECRETS)
    stores.notices.add([told(1)])
    stores.notify.fan_out(now=NOON, limit=10)
    work = claimed(stores)
    changed = {"url": "https://example.com/new"}
    stores.notify.change_target(
        "siem", lambda one, held: (msgspec.structs.replace(one, **changed), held)
    )
    disabled = msgspec.structs.replace(work.target, enabled=False, disabled_reason="old")
    stores.notify.settle(work, disabled, (), now=NOON, release=True)
    found = stores.notify.target("siem")
    assert isinstance(found, Webhook)
    assert (found.url, found.enabled, found.version) == ("https://example.com/new", True, 2)


def test_deliveries_are_listed_in_pages_newest_first(stores: Stores) -> None:
    hook = webhook()
    stores.notify.add_target(hook, SECRETS)
    for number in range(5):
        stores.notices.add([told(number)])
        stores.notify.fan_out(now=NOON + number * MINUTE, limit=10)
    first, cursor = stores.notify.deliveries(hook.id, None, limit=3)
    rest, end = stores.notify.deliveries(hook.id, "waiting", limit=3, cursor=cursor)
    assert [one.notice.subject[-1] for one in (*first, *rest)] == ["4", "3", "2", "1", "0"]
    assert end is None
    with pytest.raises(InvalidInput):
        stores.notify.deliveries(hook.id, None, limit=3, cursor="bm9uc2Vuc2U")


def test_what_was_given_up_or_never_sent_is_sent_again(stores: Stores) -> None:
    hook = webhook(routes=(Route(("incident.*",)),))
    stores.notices.add([told(0), told(1, "obligation.overdue")])
    stores.notify.fan_out(now=NOON, limit=10)
    stores.notify.add_target(hook, SECRETS)
    stores.notices.add([told(2)])
    stores.notify.fan_out(now=NOON, limit=10)
    work = claimed(stores)
    given_up = with_try(work.deliveries[0], Try(NOON, 500, "500"), state="failed", finished_at=NOON)
    stores.notify.settle(work, work.target, [given_up], now=NOON, release=True)
    assert stores.notify.redeliver(hook.id, since=NOON - MINUTE, now=NOON) == 2
    assert stores.notify.redeliver(hook.id, since=NOON - MINUTE, now=NOON) == 0
    again = claimed(stores)
    assert {one.notice.subject[-1] for one in again.deliveries} == {"0", "2"}
    deliver(stores, again)
    assert stores.notify.redeliver(hook.id, delivery_id=given_up.id, now=NOON) == 1
    assert claimed(stores).deliveries[0].tries[0].error == "500"
    with pytest.raises(NotFound):
        stores.notify.redeliver(hook.id, delivery_id=hook.id, now=NOON)


def test_what_is_settled_is_forgotten_and_what_waits_is_not(stores: Stores) -> None:
    hook = webhook()
    stores.notify.add_target(hook, SECRETS)
    stores.notices.add([told(0)])
    later = NOON + timedelta(days=31)
    stores.notify.fan_out(now=NOON, limit=10)
    assert stores.notify.forget(before=later, limit=10) == 0
    assert stores.notices.forget(before=later, limit=10) == 0
    deliver(stores, claimed(stores))
    assert stores.notify.forget(before=later, limit=10) == 1
    assert stores.notices.forget(before=later, limit=10) == 1
    assert stores.notices.page(limit=10) == ([], None)


def test_removing_a_target_removes_its_deliveries(stores: Stores) -> None:
    hook = webhook()
    stores.notify.add_target(hook, SECRETS)
    stores.notices.add([told(0)])
    stores.notify.fan_out(now=NOON, limit=10)
    work = claimed(stores)
    assert stores.notify.remove_target("siem") == hook
    with pytest.raises(VersionConflict):
        deliver(stores, work)
    assert stores.notify.deliveries(hook.id, None, limit=10) == ([], None)


def test_telling_handing_out_and_forgetting_at_once_loses_nothing(stores: Stores) -> None:
    hook = webhook()
    stores.notify.add_target(hook, SECRETS)
    rounds = range(60)

    def tell() -> None:
        for _ in rounds:
            stores.notices.add([told() for _ in range(5)])

    def hand_out() -> None:
        for _ in rounds:
            stores.notify.fan_out(now=NOON, limit=4)

    def forget() -> None:
        for _ in rounds:
            assert stores.notices.forget(before=NOON + MINUTE, limit=3) == 0

    with ThreadPoolExecutor(3) as threads:
        for done in [threads.submit(work) for work in (tell, hand_out, forget)]:
            done.result()
    while stores.notify.fan_out(now=NOON, limit=100):
        pass
    assert stores.notify.count(hook.id, "waiting", ceiling=1000) == 5 * len(rounds)
