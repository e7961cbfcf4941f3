"""Backups: whole, checked, never half restored."""

from __future__ import annotations

import io
import stat
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from kintsugi.errors import DatabaseUnusable, InvalidInput, StoreUnavailable
from kintsugi.model.event import Payload
from kintsugi.model.event_filter import EventFilter
from kintsugi.store import PostgresStores, open_stores
from kintsugi.store import backup as backups
from kintsugi.store.backup import Manifest, backup, read_manifest, restore
from tests.databases import NOON, Server, Servers, folders_of
from tests.store.made import blocked, event

pytestmark = pytest.mark.postgres

EVERYTHING = EventFilter()
EVENTS = [
    blocked(1, payload=Payload("asked", "answered")),
    event(2, user_id="na\x00sty \ud800"),
    event(3, at=NOON.replace(year=2024)),
]


@pytest.fixture(scope="module")
def stores(conninfo: str) -> Iterator[PostgresStores]:
    """Something of everything."""
    with open_stores(conninfo, now=lambda: NOON) as opened:
        opened.events.append(EVENTS)
        put(opened, "pack: {name: support}")
        while opened.events.index_pending(limit=10):
            pass
        yield opened


def put(stores: PostgresStores, content: str) -> None:
    stores.configurations.put(
        config_id="support",
        content=content,
        revision="sha256:a",
        author="ana",
        note="",
        pack_version="1",
        now=NOON,
    )


@contextmanager
def database(server: Server, *, template: str = "template0") -> Iterator[str]:
    conninfo = server.create(template=template)
    try:
        yield conninfo
    finally:
        server.drop(conninfo)


def made(stores: PostgresStores, destination: Path, **given: object) -> Manifest:
    return backup(stores.database.conninfo, destination, now=NOON, **given)  # type: ignore[arg-type]


def test_a_backup_brings_everything_back(
    stores: PostgresStores, server: Server, tmp_path: Path
) -> None:
    secret = tmp_path / "fingerprint.key"
    secret.write_bytes(b"\x00key")
    told: list[str] = []
    file = tmp_path / "all.backup"
    manifest = made(
        stores, file, state_files={"gateway/gw-1/fingerprint.key": secret}, tell=told.append
    )
    assert told
    events = stores.events.count(EVERYTHING, ceiling=10**6)
    assert manifest.counts["events"] == manifest.counts["event_records"] == events
    assert manifest.counts["event_payloads"] == 1
    assert manifest.last_position == events
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    with database(server) as other:
        assert restore(other, file, now=NOON, state=tmp_path / "new") == manifest
        with open_stores(other, now=lambda: NOON) as restored:
            for one in EVENTS:
                assert restored.events.get(one.id) == one
            assert (
                restored.events.page(EventFilter(q="asked"), limit=9).events[0].id == EVENTS[0].id
            )
            assert restored.configurations.get("support").content == "pack: {name: support}"
            assert restored.events.append([*EVENTS, event(9)]).stored == 1
            assert restored.events.last_position() == events + 1
            query = "SELECT count(*) FROM ai_decision_events"
            assert restored.query.run(query, row_limit=1, timeout_seconds=5).rows == (
                (events + 1,),
            )
    key = tmp_path / "new" / "gateway" / "gw-1" / "fingerprint.key"
    assert key.read_bytes() == b"\x00key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_the_reader_s_password_is_not_in_it(stores: PostgresStores, tmp_path: Path) -> None:
    stores.query.run("SELECT 1", row_limit=1, timeout_seconds=5)
    with psycopg.connect(stores.database.conninfo) as connection:
        row = connection.execute("SELECT password FROM kintsugi.reader_login").fetchone()
    assert row is not None
    made(stores, tmp_path / "all.backup")
    with tarfile.open(tmp_path / "all.backup") as archive:
        dump = archive.extractfile("database.dump")
        assert dump is not None
        assert row[0].encode() not in dump.read()


def test_a_backup_is_one_moment_of_a_database_at_work(
    stores: PostgresStores, server: Server, tmp_path: Path
) -> None:
    stop = threading.Event()

    def work() -> None:
        number = 1000
        while not stop.is_set():
            stores.events.append([event(number), event(number + 1)])
            number += 2

    worker = threading.Thread(target=work)
    worker.start()
    try:
        manifest = made(stores, tmp_path / "all.backup")
    finally:
        stop.set()
        worker.join()
    with database(server) as other:
        restore(other, tmp_path / "all.backup", now=NOON)
        with open_stores(other, now=lambda: NOON) as restored:
            assert restored.events.count(EVERYTHING, ceiling=10**6) == manifest.last_position
            tail = restored.events.tail(after=0, where=EVERYTHING, limit=10**6)
            assert [stored.position for stored in tail] == list(range(1, len(tail) + 1))


def test_nothing_is_ever_replaced(stores: PostgresStores, tmp_path: Path) -> None:
    file = tmp_path / "all.backup"
    file.write_text("precious")
    with pytest.raises(InvalidInput, match="never replaces"):
        made(stores, file)
    assert file.read_text() == "precious"
    with pytest.raises(InvalidInput, match="no folder"):
        made(stores, tmp_path / "missing" / "all.backup")


def test_a_database_in_use_or_full_is_not_restored_over(
    stores: PostgresStores, server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "all.backup"
    made(stores, file)
    with database(server, template="kt_template") as other:
        with open_stores(other, now=lambda: NOON) as used:
            used.events.append([event(77)])
            with pytest.raises(InvalidInput, match="in use by"):
                restore(other, file, now=NOON, replace=True)
        with pytest.raises(InvalidInput, match=r"not empty \(1 events"):
            restore(other, file, now=NOON)
        restore(other, file, now=NOON, replace=True)
        with open_stores(other, now=lambda: NOON) as restored:
            assert restored.events.get(EVENTS[0].id) == EVENTS[0]
            assert restored.events.count(EventFilter(user="nobody"), ceiling=9) == 0


def test_what_was_there_returns_when_a_restore_fails(
    stores: PostgresStores, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "all.backup"
    made(stores, file)
    with database(server, template="kt_template") as other:
        with open_stores(other, now=lambda: NOON) as before:
            before.events.append([event(77)])
            before.query.run("SELECT 1", row_limit=1, timeout_seconds=5)

        def fail(*_: object, **__: object) -> None:
            raise DatabaseUnusable("pg_restore failed: out of luck")

        monkeypatch.setattr(backups, "_run", fail)
        with pytest.raises(DatabaseUnusable, match="out of luck"):
            restore(other, file, now=NOON, replace=True)
        with open_stores(other, now=lambda: NOON) as after:
            assert after.events.get(event(77).id) == event(77)
            query = "SELECT count(*) FROM ai_decision_events"
            assert after.query.run(query, row_limit=1, timeout_seconds=5).rows == ((1,),)


@pytest.mark.parametrize("restored_in_time", [True, False])
def test_a_restore_that_was_killed_is_settled_at_the_next_start(
    stores: PostgresStores, server: Server, restored_in_time: bool
) -> None:
    with database(server, template="kt_template") as other:
        with open_stores(other, now=lambda: NOON) as before:
            before.events.append([event(77)])
        with psycopg.connect(other) as connection:
            # What is there at the moment of the kill: the old set aside, the new there or not.
            connection.execute("ALTER SCHEMA kintsugi RENAME TO kintsugi_replaced")
            for view in ("ai_decision_events", "policy_evaluations"):
                connection.execute(f"ALTER VIEW {view} SET SCHEMA kintsugi_replaced".encode())
            if restored_in_time:
                schema = Path(backups.__file__).with_name("schema.sql").read_bytes()
                connection.execute(schema)
                connection.execute(
                    "CREATE TABLE kintsugi.alembic_version AS SELECT version_num"
                    " FROM kintsugi_replaced.alembic_version"
                )
        with open_stores(other, now=lambda: NOON) as after:
            found = after.events.count(EVERYTHING, ceiling=9)
        assert found == (0 if restored_in_time else 1)


def altered(file: Path, change: dict[str, bytes | None]) -> Path:
    """A copy with some members replaced, or left out."""
    copy = file.with_suffix(".altered")
    with tarfile.open(file) as source, tarfile.open(copy, "w") as target:
        for member in source.getmembers():
            content = source.extractfile(member)
            assert content is not None
            body = change.get(member.name, content.read())
            if body is not None:
                member.size = len(body)
                target.addfile(member, io.BytesIO(body))
    return copy


def test_a_damaged_backup_is_seen_before_anything_is_touched(
    stores: PostgresStores, server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "all.backup"
    made(stores, file)
    whole = file.read_bytes()
    flipped = tmp_path / "flipped"
    flipped.write_bytes(
        whole[: len(whole) // 2] + b"\xff\xff\xff\xff" + whole[len(whole) // 2 + 4 :]
    )
    cut = tmp_path / "cut"
    cut.write_bytes(whole[: len(whole) // 2])
    empty = tmp_path / "empty"
    empty.touch()
    newer = altered(file, {"manifest.json": b'{"format": 99}'})
    with database(server) as other:
        for broken in (
            *(flipped, cut, empty, newer, tmp_path / "missing", tmp_path),
            altered(file, {"database.dump": b"PGDMP"}),
            altered(file, {"database.dump": None}),
        ):
            with pytest.raises(InvalidInput):
                restore(other, broken, now=NOON)
        with psycopg.connect(other) as connection:
            row = connection.execute("SELECT to_regnamespace('kintsugi')").fetchone()
        assert row == (None,)


def test_a_backup_of_a_newer_kintsugi_says_so(stores: PostgresStores, tmp_path: Path) -> None:
    file = tmp_path / "all.backup"
    made(stores, file)
    with tarfile.open(file) as archive:
        content = archive.extractfile("manifest.json")
        assert content is not None
        manifest = content.read()
    newer = altered(file, {"manifest.json": manifest.replace(b'"format": 1', b'"format": 2')})
    with pytest.raises(InvalidInput, match="was made by Kintsugi"):
        read_manifest(newer)


def test_members_with_names_that_lead_elsewhere_are_not_written(tmp_path: Path) -> None:
    manifest = Manifest(
        1, "0.1.0", "15.18", "0001", NOON, {}, 0, {"state/../outside": backups.Member(0, "")}
    )
    backups._restore_state(tmp_path / "unread", manifest, tmp_path / "state")
    assert list(tmp_path.iterdir()) == []


def test_programs_older_than_the_server_are_not_used(servers: Servers, tmp_path: Path) -> None:
    conninfo = servers.get("wheel").conninfo("kt_template")
    with pytest.raises(DatabaseUnusable, match=r"PostgreSQL 18, which needs pg_dump.*client-18"):
        backup(conninfo, tmp_path / "all", now=NOON, folders=lambda: folders_of("local"))
    assert list(tmp_path.iterdir()) == []


def test_an_older_server_does_not_take_a_newer_one_s_backup(
    stores: PostgresStores, server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "all.backup"
    made(stores, file)
    with tarfile.open(file) as archive:
        content = archive.extractfile("manifest.json")
        assert content is not None
        manifest = content.read()
    version = f'"postgresql": "{server.handle.version}"'.encode()
    assert version in manifest
    newer = altered(file, {"manifest.json": manifest.replace(version, b'"postgresql": "99.1"')})
    with database(server) as other, pytest.raises(DatabaseUnusable, match=r"from PostgreSQL 99\.1"):
        restore(other, newer, now=NOON)


def test_there_is_nothing_to_save_in_an_empty_database(server: Server, tmp_path: Path) -> None:
    with database(server) as other, pytest.raises(InvalidInput, match="nothing to save"):
        backup(other, tmp_path / "all.backup", now=NOON)


def test_a_database_out_of_reach_is_unavailable(server: Server, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        backup(server.conninfo("kt_nowhere"), tmp_path / "all.backup", now=NOON)
    assert list(tmp_path.iterdir()) == []
