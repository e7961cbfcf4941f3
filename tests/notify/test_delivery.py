"""From an outbox to receivers: webhooks over HTTP, mail over SMTP, failures over days."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiosmtpd.smtp import SMTP
from standardwebhooks import Webhook as OfficialReceiver

from kintsugi.model.notify import Channel, Delivery, QuietHours, Secrets, Try
from kintsugi.model.stores import Stores
from kintsugi.notify import apprise
from kintsugi.notify.messages import Message
from kintsugi.notify.schedule import GIVEN_UP_AFTER, RETRY_SECONDS, after_try, rest_of, target_after
from kintsugi.notify.worker import NotifyWorker
from kintsugi.store import open_stores
from kintsugi.store.memory import memory_stores
from kintsugi.vault.key_sources import FileKeys
from tests.control_plane import Clock
from tests.databases import KINDS, NOON, Servers
from tests.notify.made import SECRET, channel, receiving, told, webhook


class Still:
    """Wakes nobody: the tests take the steps."""

    def generation(self, _: Any) -> int:
        return 0

    def wait_in_thread(self, *_: Any, **__: Any) -> None:
        raise AssertionError

    def announce(self, _: Any) -> None:
        pass


def worker(stores: Stores, clock: Clock) -> NotifyWorker:
    return NotifyWorker(stores, Still(), clock)


def run(stores: Stores, clock: Clock) -> None:
    one = worker(stores, clock)
    one.look_after()
    while one.deliver_once():
        pass


@contextmanager
def mailbox() -> Iterator[tuple[str, list[str]]]:
    """A real SMTP server on loopback; its Apprise URL, and the mails that came."""
    mails: list[str] = []

    class Handler:
        async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
            mails.append(envelope.content.decode())
            return "250 OK"

    loop = asyncio.new_event_loop()
    made = loop.create_server(lambda: SMTP(Handler(), loop=loop), "127.0.0.1", 0)
    server = loop.run_until_complete(made)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        port = server.sockets[0].getsockname()[1]
        yield f"mailto://127.0.0.1:{port}/?from=kt@example.com&to=ops@example.com", mails
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_notices_arrive_signed_in_order_and_once() -> None:
    # The official library looks at the time of its machine.
    clock, stores = Clock(datetime.now(UTC)), memory_stores(now=lambda: NOON)
    with receiving() as receiver:
        stores.notify.add_target(
            webhook(url=receiver.url, allow_private_network=True), Secrets(SECRET)
        )
        stores.notices.add([told(number) for number in range(5)])
        run(stores, clock)
        run(stores, clock)
    assert [one.headers["webhook-id"] for one in receiver.came] == [
        one.id for one in reversed(stores.notices.page(limit=9)[0])
    ]
    assert stores.notify.target("siem").succeeded_at == clock.now
    for came in receiver.came:
        assert OfficialReceiver(SECRET).verify(came.body, came.headers)["type"]


def test_what_fails_is_tried_again_with_jitter_and_then_given_up() -> None:
    chance = random.Random(1)
    one = Delivery("d", "t", told(), "waiting", NOON)
    now, waits = NOON, []
    while one.state == "waiting":
        one = after_try(one, Try(now, 500, "answered 500"), now=now, chance=chance)
        waits.append((one.due_at - now).total_seconds())
        now = one.due_at
    assert one.attempts == len(RETRY_SECONDS) + 1
    for wait, wanted in zip(waits, RETRY_SECONDS, strict=False):
        assert 0.8 * wanted <= wait <= 1.2 * wanted
    assert timedelta(days=2) < now - NOON < timedelta(days=5)


def test_a_receiver_that_asks_for_time_gets_it() -> None:
    stores = memory_stores(now=lambda: NOON)
    stores.notify.add_target(webhook(), Secrets(SECRET))
    stores.notices.add([told()])
    stores.notify.fan_out(now=NOON, limit=1)
    work = stores.notify.claim("a", now=NOON, lease_seconds=60, limit=1)
    assert work is not None
    busy = Try(NOON, 503, "answered 503", retry_after_seconds=600)
    after = after_try(work.deliveries[0], busy, now=NOON, chance=random.Random(1))
    assert after.due_at == NOON + timedelta(seconds=600)


def test_an_endpoint_is_given_up_after_days_or_when_it_says_so() -> None:
    failed = Try(NOON, 500, "answered 500")
    hook = target_after(webhook(), failed, now=NOON)
    assert hook.enabled
    assert rest_of(hook, now=NOON) == NOON + timedelta(seconds=2)
    later = target_after(hook, failed, now=NOON + GIVEN_UP_AFTER)
    assert not later.enabled
    assert "nothing has arrived since 2026-04-23 12:00 UTC" in later.disabled_reason
    gone = target_after(webhook(), Try(NOON, 410, "answered 410", gone=True), now=NOON)
    assert (gone.enabled, "410" in gone.disabled_reason) == (False, True)
    well = target_after(hook, Try(NOON, 200), now=NOON)
    assert (well.failures, well.failing_since, rest_of(well, now=NOON)) == (0, None, None)


def test_one_that_is_given_up_raises_a_signal_and_may_be_enabled_again() -> None:
    clock, stores = Clock(), memory_stores(now=lambda: NOON)
    with receiving() as receiver:
        receiver.answer = 410
        hook = webhook(url=receiver.url, allow_private_network=True)
        stores.notify.add_target(hook, Secrets(SECRET))
        stores.notices.add([told(1), told(2)])
        run(stores, clock)
        assert len(receiver.came) == 1
        [raised] = stores.signals.page("open", limit=5)[0]
        assert (raised.kind, raised.subject) == ("notify_disabled", "webhook:siem")
        receiver.answer = 200
        stores.notify.change_target(
            hook.id,
            lambda one, held: (
                msgspec.structs.replace(one, enabled=True, failures=0, failing_since=None),
                held,
            ),
        )
        clock.advance(hours=1)
        run(stores, clock)
    assert len(receiver.came) >= 3


def test_an_endpoint_that_hangs_does_not_hold_up_the_others() -> None:
    clock, stores = Clock(), memory_stores(now=lambda: NOON)
    with receiving() as receiver:
        stores.notify.add_target(webhook("a-dead", url="http://127.0.0.1:1/"), Secrets(SECRET))
        stores.notify.add_target(
            webhook("b-well", url=receiver.url, allow_private_network=True), Secrets(SECRET)
        )
        stores.notices.add([told(1)])
        run(stores, clock)
    assert len(receiver.came) == 1
    [dead] = stores.notify.deliveries(stores.notify.target("a-dead").id, "waiting", limit=5)[0]
    assert "private" in dead.tries[0].error


def test_mail_goes_out_over_smtp_and_a_flood_is_one_mail() -> None:
    clock, stores = Clock(), memory_stores(now=lambda: NOON)
    with mailbox() as (url, mails):
        room = channel(messages_max=2, allow_private_network=True)
        stores.notify.add_target(room, Secrets(url))
        stores.notices.add([told(number, severity="critical") for number in range(30)])
        run(stores, clock)
    assert len(mails) == 2
    assert "INC-000000 - It lied 0" in mails[0].replace("=\r\n", "").replace("=\n", "")
    assert "29 notices" in mails[1]
    found = stores.notify.target("room")
    assert isinstance(found, Channel)
    assert found.recent == (clock.now, clock.now)
    assert stores.notify.count(found.id, "delivered", ceiling=99) == 30


def test_the_night_is_quiet_and_the_morning_tells() -> None:
    clock, stores = Clock(), memory_stores(now=lambda: NOON)
    with mailbox() as (url, mails):
        hours = QuietHours("11:00", "13:00", "UTC")
        room = channel(quiet_hours=(hours,), allow_private_network=True)
        stores.notify.add_target(room, Secrets(url))
        stores.notices.add([told(1), told(2)])
        run(stores, clock)
        assert mails == []
        clock.advance(hours=1)
        run(stores, clock)
    assert len(mails) == 1
    assert "2 notices were held back (quiet hours)" in mails[0].replace("=\n", "")


def test_a_channel_inside_the_own_network_is_refused_unless_allowed() -> None:
    with mailbox() as (url, mails):
        tried = apprise.send(url, Message("a", "b"), allow_private_network=False, now=NOON)
    assert "private address" in tried.error
    assert mails == []


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general", "slack://T...2/****"),
        ("jsons://u:hunter2@example.com/hunter2?+X=hunter2", "jsons://****@example.com/****"),
        ("mailto://a:hunter2@example.com", "mailto://****@example.com/****"),
    ],
)
def test_what_is_secret_in_a_channels_url_is_masked(url: str, address: str) -> None:
    found = apprise.look(url)
    assert found.address.rstrip("/*").startswith(address.rstrip("/*"))
    assert "hunter2" not in found.address
    assert "TIiajk" not in found.address


@pytest.mark.parametrize("url", ["syslog://", "dbus://", "nonsense", "file:///etc/passwd", "x://y"])
def test_services_of_this_machine_are_no_channels(url: str) -> None:
    with pytest.raises(Exception, match=r"body\.url"):
        apprise.look(url)


KILLED = """
import sys, time
from pathlib import Path
from kintsugi.notify.worker import NotifyWorker
from kintsugi.store import open_stores
from kintsugi.vault.key_sources import FileKeys
from datetime import UTC, datetime
stores = open_stores(sys.argv[1], keys=[FileKeys(Path(sys.argv[2]))])
class Wakes:
    def generation(self, _): return 0
    def announce(self, _): pass
    def wait_in_thread(self, *_, **__): time.sleep(0.05)
NotifyWorker(stores, Wakes(), lambda: datetime.now(UTC)).start()
print("started", flush=True)
time.sleep(60)
"""


@pytest.mark.postgres
def test_no_notice_is_lost_when_the_deliverer_is_killed(servers: Servers, tmp_path: Path) -> None:
    """Killed twice in the middle; whoever comes next goes on when the lease is over."""
    server = servers.get(KINDS[0])
    conninfo, keys = server.create(), tmp_path / "vault-key"
    count = 40
    with receiving() as receiver, open_stores(conninfo, keys=[FileKeys(keys)]) as stores:
        stores.notify.add_target(
            webhook(url=receiver.url, allow_private_network=True), Secrets(SECRET)
        )
        stores.notices.add([told(number) for number in range(count)])
        for arrived in (5, 15):
            child = subprocess.Popen(
                [sys.executable, "-c", KILLED, conninfo, str(keys)], stdout=subprocess.PIPE
            )
            assert child.stdout is not None
            receiver.wait(arrived)
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            child.stdout.close()
            # Its lease would be over in a while; time is not waited for.
            with stores.database.transaction() as connection:
                connection.execute("UPDATE kintsugi.notify_targets SET lease_until = now()")
        clock = Clock(datetime.now(UTC) + timedelta(minutes=1))
        run(stores, clock)
        hook = stores.notify.target("siem")
        assert stores.notify.count(hook.id, "delivered", ceiling=999) == count
    ids = [one.headers["webhook-id"] for one in receiver.came]
    assert len(set(ids)) == count
    assert len(ids) <= count + 2
    server.drop(conninfo)
