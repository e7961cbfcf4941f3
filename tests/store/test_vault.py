"""The vault on PostgreSQL when things go wrong: keys lost, wrong or changed, rows tampered with,
contents from before there was one, and a database that is brought back from before an erasure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from kintsugi.api.vault_worker import reapply
from kintsugi.errors import KeyUnavailable
from kintsugi.model.custody import custody_entry
from kintsugi.model.erasure import ErasureJob
from kintsugi.model.event import DecisionEvent, ErasedNote, Payload
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.ids import uuid7
from kintsugi.store import PostgresStores, open_stores
from kintsugi.vault.key_sources import FileKeys
from kintsugi.vault.remembered import FILE, remember
from tests.databases import NOON, Server
from tests.store.made import as_sent, event

pytestmark = pytest.mark.postgres
LATER = NOON + timedelta(hours=1)
SAID = Payload('{"messages":[{"role":"user","content":"swordfish"}]}', "answered")


def said(number: int, user: str = "ada", **changes: Any) -> DecisionEvent:
    return event(number, user_id=user, payload=SAID, **changes)


@pytest.fixture
def conninfo(server: Server) -> Iterator[str]:
    made = server.create()
    yield made
    server.drop(made)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "vault-key"


@contextmanager
def opened(conninfo: str, key_file: Path | None) -> Iterator[PostgresStores]:
    keys = [FileKeys(key_file)] if key_file is not None else []
    with open_stores(conninfo, now=lambda: NOON, keys=keys) as stores:
        yield stores


def changed(conninfo: str, statement: str) -> None:
    with psycopg.connect(conninfo) as connection:
        connection.execute(statement.encode())


def everything(conninfo: str) -> str:
    """Every value of every table, as one text."""
    with psycopg.connect(conninfo) as connection:
        tables = connection.execute(
            "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'kintsugi'"
        ).fetchall()
        return "".join(
            str(connection.execute(f"SELECT * FROM kintsugi.{table}".encode()).fetchall())
            for (table,) in tables
        )


def job_of(stores: PostgresStores, subject: str = "user:ada") -> ErasureJob:
    identifier = uuid7(int(NOON.timestamp() * 1000), bytes(10))
    job = ErasureJob(identifier, subject, "asked to", "ana/t1", "queued", NOON, salt="00" * 16)
    stores.erasures.request(job)
    claimed = stores.erasures.claim(now=NOON, stale_after_seconds=60)
    assert claimed is not None
    return claimed


def erased(stores: PostgresStores, subject: str = "user:ada") -> ErasureJob:
    job = stores.erasures.destroy(job_of(stores, subject), now=LATER)
    while (after := stores.erasures.sweep(job, limit=2, now=LATER)) != job:
        job = after
    return stores.erasures.finish(job, now=LATER)


def test_nothing_that_was_said_lies_open_in_the_database(conninfo: str, key_file: Path) -> None:
    with opened(conninfo, key_file) as stores:
        stores.events.append([said(1), said(2, user=""), said(3, user="", session_id="s")])
    found = everything(conninfo)
    assert "swordfish" not in found
    assert key_file.read_text().strip() not in found


def test_without_its_key_content_is_unreadable_and_records_are_not(
    conninfo: str, key_file: Path, tmp_path: Path
) -> None:
    with opened(conninfo, key_file) as stores:
        stores.events.append([said(1)])
    lost = tmp_path / "lost"
    key_file.rename(lost)
    with opened(conninfo, key_file) as stores:
        read = stores.events.get(said(1).id)
        assert read.user_id == "ada"
        assert "no key can be read" in read.payload.unreadable
        assert read.payload.erased is None
        with pytest.raises(KeyUnavailable):
            stores.events.append([said(2)])
        with pytest.raises(KeyUnavailable):
            stores.vault.ready()
        entry = custody_entry("reveal", "event:x", actor="ana/t1", now=NOON)
        with pytest.raises(KeyUnavailable):
            stores.events.reveal(said(1).id, entry)
        lost.rename(key_file)  # back again, without a restart
        assert as_sent(stores.events.get(said(1).id)) == said(1)
        stores.events.append([said(2)])


def test_a_wrong_key_is_known_as_such(conninfo: str, key_file: Path) -> None:
    with opened(conninfo, key_file) as stores:
        stores.events.append([said(1)])
    right = key_file.read_text()
    key_file.write_text("ab" * 32 + "\n")
    with opened(conninfo, key_file) as stores:
        problem = stores.events.get(said(1).id).payload.unreadable
        assert "is not in" in problem
        assert "ab" * 32 not in problem
        # Lost for good: a new key begins, and what comes from then on is recorded.
        stores.vault.rotate(now=LATER)
        stores.events.append([said(2), said(3, user="bob")])
        assert as_sent(stores.events.get(said(2).id)) == said(2)
        assert stores.events.get(said(1).id).payload.unreadable
        with pytest.raises(KeyUnavailable):
            stores.vault.rewrap(limit=10, now=LATER)
        key_file.write_text(key_file.read_text() + right)
        assert stores.vault.rewrap(limit=10, now=LATER) == 1
        assert as_sent(stores.events.get(said(1).id)) == said(1)


@pytest.mark.parametrize(
    ("statement", "said_so"),
    [
        (
            (
                "UPDATE kintsugi.event_payloads SET sealed = set_byte(sealed, 40, "
                "get_byte(sealed, 40) # 1)"
            ),
            "changed",
        ),
        ("UPDATE kintsugi.event_payloads SET sealed = ''", "changed"),
        ("UPDATE kintsugi.event_payloads SET data_key = gen_random_uuid()", "data key is missing"),
        ("DELETE FROM kintsugi.event_payloads", "row is missing"),
        (
            (
                "UPDATE kintsugi.data_keys SET wrapped = set_byte(wrapped, 20, "
                "get_byte(wrapped, 20) # 1)"
            ),
            "data key was changed",
        ),
        (
            (
                "UPDATE kintsugi.event_payloads AS p SET sealed = o.sealed "
                "FROM kintsugi.event_payloads AS o WHERE o.id <> p.id"
            ),
            "another event's",
        ),
    ],
)
def test_what_was_changed_in_the_database_is_found_out(
    conninfo: str, key_file: Path, statement: str, said_so: str
) -> None:
    with opened(conninfo, key_file) as stores:
        stores.events.append([said(1), said(2)])
    changed(conninfo, statement)
    with opened(conninfo, key_file) as stores:
        for one in stores.events.scan(EventFilter(), payload=True):
            assert said_so in one.payload.unreadable
            assert one.payload.request == ""


def test_open_contents_from_before_are_sealed_in_the_background(
    conninfo: str, key_file: Path
) -> None:
    events = [said(1), said(2, user="bob"), said(3, user=""), said(4, user="", session_id="s")]
    with opened(conninfo, None) as stores:
        stores.events.append(events)
        assert [stores.events.get(one.id) for one in events] == events
    assert "swordfish" in everything(conninfo)
    with opened(conninfo, key_file) as stores:
        assert stores.vault.status().unsealed == 4
        assert stores.vault.seal_pending(limit=3) == 3
        assert stores.vault.status().unsealed == 1
        assert [stores.events.get(one.id) for one in events] == events
        assert stores.vault.seal_pending(limit=3) == 1
        assert stores.vault.seal_pending(limit=3) == 0
        assert [stores.events.get(one.id) for one in events] == events
        assert "swordfish" not in everything(conninfo)
        erased(stores)
        assert stores.events.get(events[0].id).payload.erased is not None
        assert stores.events.get(events[1].id).payload == SAID


def test_open_contents_can_be_erased_before_they_were_sealed(conninfo: str, key_file: Path) -> None:
    with opened(conninfo, None) as stores:
        stores.events.append([said(1), said(2, user="bob")])
    with opened(conninfo, key_file) as stores:
        job = erased(stores)
        assert stores.events.get(said(1).id).payload == Payload(erased=ErasedNote(LATER, job.id))
        assert stores.events.get(said(2).id).payload == SAID
        assert stores.vault.seal_pending(limit=5) == 1


def test_a_database_from_before_an_erasure_does_not_bring_it_back(
    server: Server, conninfo: str, key_file: Path, tmp_path: Path
) -> None:
    with opened(conninfo, key_file) as stores:
        stores.events.append([said(1), said(2, user="bob")])
        while stores.events.index_pending(limit=10):
            pass
    before = server.create(template=str(psycopg.conninfo.conninfo_to_dict(conninfo)["dbname"]))
    with opened(conninfo, key_file) as stores:
        done = erased(stores)
        remember(tmp_path / FILE, stores.erasures.destroyed(after=None))
    try:
        with opened(before, key_file) as stores:
            assert stores.events.get(said(1).id).payload == SAID, "the backup still has it"
            assert reapply(stores.erasures, tmp_path, now=LATER) == 1
            assert stores.events.get(said(1).id).payload.erased == ErasedNote(LATER, done.id)
            assert stores.events.get(said(2).id).payload == SAID
            assert stores.events.count(EventFilter(user="ada", q="swordfish"), ceiling=9) == 0
            assert reapply(stores.erasures, tmp_path, now=LATER) == 0
            # The worker does the rest, and the log gets its leaf again.
            job = stores.erasures.claim(now=LATER, stale_after_seconds=60)
            assert job is not None
            again = stores.erasures.finish(job, now=LATER)
            assert (again.id, again.reapplied_at) == (done.id, LATER)
    finally:
        server.drop(before)


def test_a_batch_that_was_sealed_while_its_key_was_destroyed_is_sealed_again(
    conninfo: str, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(conninfo, key_file) as stores, opened(conninfo, key_file) as other:
        stores.events.append([said(1)])
        job = job_of(other)
        sealer = stores.events._sealer  # type: ignore[attr-defined]
        seal = sealer.seal

        def seal_and_then_erase(events: Any, *, now: Any) -> Any:
            made = seal(events, now=now)
            monkeypatch.setattr(sealer, "seal", seal)
            other.erasures.destroy(job, now=NOON)
            return made

        monkeypatch.setattr(sealer, "seal", seal_and_then_erase)
        new = said(2, at=NOON + timedelta(minutes=1))
        stores.events.append([new])
        assert as_sent(stores.events.get(new.id)) == new
        assert stores.events.get(said(1).id).payload.erased is not None


@pytest.mark.parametrize("user", ["ada", ""])
def test_what_a_gateway_sends_again_after_a_restore_stays_erased(
    server: Server, conninfo: str, key_file: Path, tmp_path: Path, user: str
) -> None:
    one = said(1, user=user)
    subject = f"user:{user}" if user else f"event:{one.id}"
    before = server.create()
    try:
        with opened(conninfo, key_file) as stores:
            stores.events.append([one])
            erased(stores, subject)
            remember(tmp_path / FILE, stores.erasures.destroyed(after=None))
        with opened(before, key_file) as stores:
            assert reapply(stores.erasures, tmp_path, now=LATER) == 1
            stores.events.append([one, said(2, user="bob")])
            assert stores.events.get(one.id).payload.erased is not None
            assert stores.events.get(said(2).id).payload == SAID
        assert "swordfish" not in everything(before)
    finally:
        server.drop(before)
