"""Archives on PostgreSQL and Parquet: everything comes back, and nothing is changed unseen."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kintsugi.errors import (
    ArchiveUnavailable,
    InvalidInput,
    ProofInvalid,
    QueryRefused,
    StateConflict,
)
from kintsugi.model.archive import Archive, ArchiveTask
from kintsugi.model.erasure import ErasureJob
from kintsugi.model.event import Payload
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.ids import uuid7
from kintsugi.store import PostgresStores, open_stores
from kintsugi.store.archive_parquet import EVENT_COLUMNS, YOUNGER_COLUMNS, Parquet, open_duckdb
from kintsugi.store.archive_query import run_over_archive
from kintsugi.store.archive_shelf import Copies, Place, Shelf, address_of
from kintsugi.vault.key_sources import FileKeys
from tests.control_plane import blocked_event, make_event
from tests.databases import NOON, Server
from tests.faults.test_database_faults import small_disk
from tests.store.processes import root_only

pytestmark = pytest.mark.postgres
MONTHS = itertools.count()

QUERIES = {
    "timeline": """
        SELECT date_trunc('minute', timestamp) AS minute, decision, COUNT(*) AS count
        FROM ai_decision_events
        WHERE timestamp BETWEEN '{month}-01 00:00:00Z' AND '{month}-28 16:00:00Z'
        GROUP BY minute, decision
        ORDER BY minute;""",
    "policies": """
        -- Which policy caused the most blocks during the incident?
        SELECT pe.policy_name, COUNT(*) AS block_count
        FROM policy_evaluations pe
        JOIN ai_decision_events e ON pe.event_id = e.id
        WHERE e.timestamp BETWEEN '{month}-01 00:00:00Z' AND '{month}-28 16:00:00Z'
        AND pe.result = 'block'
        GROUP BY pe.policy_name
        ORDER BY block_count DESC;""",
    "users": """
        SELECT DISTINCT user_id, COUNT(*) AS blocked_requests
        FROM ai_decision_events
        WHERE timestamp BETWEEN '{month}-01 00:00:00Z' AND '{month}-28 16:00:00Z'
        AND decision = 'blocked'
        GROUP BY user_id
        ORDER BY blocked_requests DESC
        LIMIT 20;""",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("archive")
    return Place(address_of(str(folder / "shelf")), folder / "copies")


@pytest.fixture(scope="module")
def stores(server: Server, place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A database whose months the tests take one by one."""
    conninfo = server.create()
    keys = [FileKeys(tmp_path_factory.mktemp("vault") / "vault-key")]
    with open_stores(conninfo, now=lambda: NOON, keys=keys, archive=place) as opened:
        yield opened
    server.drop(conninfo)


@pytest.fixture
def base() -> datetime:
    """The middle of a month that no other test has touched."""
    return next_month()


def next_month() -> datetime:
    number = next(MONTHS)
    return datetime(2020 + number // 12, number % 12 + 1, 10, 12, tzinfo=UTC)


def archived(stores: PostgresStores, base: datetime, **changes: Any) -> Archive:
    made = Archive(
        id=uuid7(int(NOON.timestamp() * 1000), os.urandom(10)),
        month=f"{base:%Y-%m}",
        created_at=NOON,
        created_by="ana",
        actor="ana/1",
    )
    stores.archives.request(msgspec.structs.replace(made, **changes))
    return finish(stores)


def finish(stores: PostgresStores) -> Archive:
    claimed = stores.archives.claim(now=NOON, stale_after_seconds=60)
    assert claimed is not None
    try:
        while claimed.state == "running":
            claimed = stores.archives.step(claimed, now=NOON)
    except Exception:
        stores.archives.end(msgspec.structs.replace(claimed, state="failed"), now=NOON)
        raise
    return claimed


def again(stores: PostgresStores, archive: Archive, task: ArchiveTask) -> Archive:
    stores.archives.request_again(archive.id, task, now=NOON)
    return finish(stores)


def of_month(base: datetime) -> EventFilter:
    return EventFilter(since=base - timedelta(days=9), until=base + timedelta(days=9))


any_text = st.text(st.characters(codec=None), max_size=300)
number = st.floats(allow_nan=False, allow_infinity=False)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.builds(
            dict,
            user_id=any_text,
            model=any_text,
            error=any_text,
            trace_id=any_text,
            latency_ms=number,
            input_tokens=st.integers(-(2**63), 2**63 - 1),
            streamed=st.booleans(),
            payload=st.builds(Payload, request=any_text, response=any_text),
        ),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 999_999),
)
def test_whatever_was_recorded_comes_back_exactly(
    stores: PostgresStores, changes: list[dict[str, Any]], microsecond: int
) -> None:
    base = next_month().replace(microsecond=microsecond)
    events = [make_event(at, base=base, **more) for at, more in enumerate(changes)]
    stores.events.append(events)
    where = of_month(base)

    def read() -> object:
        return (
            list(stores.events.scan(where, payload=True)),
            stores.events.page(where, limit=9).events,
            [stores.log.event(event.id) for event in events],
        )

    before = read()
    assert archived(stores, base).events == len(events)
    assert read() == before


def test_the_statements_of_the_incident_guide_say_the_same(
    stores: PostgresStores, base: datetime
) -> None:
    events = [blocked_event(n, base=base, user_id=f"u{n % 3 and 1}") for n in range(0, 40, 2)]
    events += [make_event(n, base=base) for n in range(1, 40, 2)]
    stores.events.append(events)
    month = f"{base:%Y-%m}"

    def rows(result: Any) -> list[Any]:
        return sorted(map(tuple, result.rows), key=str)

    asked = {name: text.format(month=month) for name, text in QUERIES.items()}
    before = {
        name: stores.query.run(text, row_limit=99, timeout_seconds=30)
        for name, text in asked.items()
    }
    archived(stores, base)
    for name, text in asked.items():
        found = stores.archives.query(text, months=[month], row_limit=99, timeout_seconds=30)
        assert found.columns == before[name].columns
        assert rows(found) == rows(before[name])
    everything = "SELECT * FROM ai_decision_events"
    hot = stores.query.run(f"{everything} LIMIT 1", row_limit=1, timeout_seconds=9).columns
    cold = stores.archives.query(everything, months=[month], row_limit=5, timeout_seconds=9)
    assert cold.columns == hot
    assert (len(cold.rows), cold.truncated) == (5, True)


def test_files_of_an_older_program_are_read_with_what_they_lack(tmp_path: Path) -> None:
    files = [tmp_path / "old.parquet", tmp_path / "new.parquet"]
    told = {"position": "7", "record": "'{}'", "tenant_id": "'acme'"}
    with open_duckdb() as database:
        for file, lacks in zip(files, (YOUNGER_COLUMNS, {}), strict=True):
            columns = ", ".join(
                f"{told.get(name, 'NULL')}::{kind} AS {name}"
                for name, kind in EVENT_COLUMNS.items()
                if name not in lacks
            )
            database.execute(f"COPY (SELECT {columns}) TO '{file}' (FORMAT parquet)")
    at = list(EVENT_COLUMNS).index("tenant_id")
    for file, tenant in zip(files, ("", "acme"), strict=True):
        [row] = Parquet().rows("events", file)
        assert (row[1], row[at], row[-3]) == (7, tenant, "{}")
    asked = "SELECT tenant_id FROM ai_decision_events ORDER BY 1"
    for read, tenants in ((files, [("",), ("acme",)]), (files[:1], [("",)])):
        found = run_over_archive(
            asked, {"events": read, "evaluations": []}, row_limit=9, timeout_seconds=9
        )
        assert list(found.rows) == tenants


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1; SELECT 2",
        "COPY (SELECT 1) TO '/tmp/kt-written'",
        "SET memory_limit = '9GB'",
        "SELECT * FROM read_text('/etc/passwd')",
        "ATTACH '/tmp/kt-other.db'",
        "SELECT nothing",
        "",
    ],
)
def test_statements_over_archives_stay_within_their_fences(
    stores: PostgresStores, base: datetime, statement: str
) -> None:
    stores.events.append([make_event(1, base=base)])
    archived(stores, base)
    with pytest.raises(QueryRefused):
        stores.archives.query(statement, months=[], row_limit=9, timeout_seconds=9)
    assert not Path("/tmp/kt-written").exists()


def test_a_statement_that_takes_too_long_is_stopped(stores: PostgresStores, base: datetime) -> None:
    stores.events.append([make_event(1, base=base)])
    archived(stores, base)
    forever = "SELECT count(*) FROM range(1000000000000) AS a, range(100000) AS b"
    with pytest.raises(QueryRefused, match="stopped after"):
        stores.archives.query(forever, months=[], row_limit=9, timeout_seconds=0.3)


def test_any_flipped_bit_in_any_file_is_found_and_located(
    stores: PostgresStores, base: datetime, place: Place
) -> None:
    stores.events.append([blocked_event(n, base=base) for n in range(20)])
    archive = archived(stores, base)
    folder = Path(place.address.removeprefix("file://")) / archive.folder
    files = sorted(folder.iterdir())
    assert len(files) == 3

    @settings(max_examples=25, deadline=None)
    @given(st.sampled_from(files), st.floats(0, 1, exclude_max=True), st.integers(0, 7))
    def flip(file: Path, where: float, bit: int) -> None:
        content = file.read_bytes()
        at = int(where * len(content))
        file.write_bytes(content[:at] + bytes([content[at] ^ (1 << bit)]) + content[at + 1 :])
        try:
            checked = again(stores, archive, "verify")
        finally:
            file.write_bytes(content)
        assert checked.findings
        assert all(
            one.where.startswith(f"{archive.folder}/{file.name}") for one in checked.findings
        )

    flip()
    assert again(stores, archive, "verify").findings == ()


def test_a_record_that_was_changed_in_the_database_is_not_archived(
    stores: PostgresStores, base: datetime
) -> None:
    events = [make_event(n, base=base) for n in range(3)]
    stores.events.append(events)
    with stores.database.transaction() as connection:
        connection.execute(
            "UPDATE kintsugi.event_records SET record = replace(record, 'sim-echo', 'other')"
            " WHERE id = %s",
            [events[1].id],
        )
    with pytest.raises(ProofInvalid, match="position"):
        archived(stores, base)
    assert stores.events.page(of_month(base), limit=9).from_archive == ()
    assert len(stores.events.page(of_month(base), limit=9).events) == 3


def test_a_month_with_a_lost_record_is_not_archived(stores: PostgresStores, base: datetime) -> None:
    events = [make_event(n, base=base) for n in range(3)]
    stores.events.append(events)
    with stores.database.transaction() as connection:
        connection.execute("DELETE FROM kintsugi.event_records WHERE id = %s", [events[1].id])
    with pytest.raises(StateConflict, match=r"1 records .* are missing"):
        archived(stores, base)


def test_contents_that_lie_open_are_not_archived(server: Server, place: Place) -> None:
    conninfo = server.create()
    with open_stores(conninfo, now=lambda: NOON, archive=place) as stores:
        stores.events.append([make_event(1, base=datetime(2026, 1, 1, tzinfo=UTC))])
        with pytest.raises(StateConflict, match="not sealed yet"):
            archived(stores, datetime(2026, 1, 1, tzinfo=UTC))
    server.drop(conninfo)


def test_erasing_a_key_erases_what_is_archived_also_when_it_comes_back(
    stores: PostgresStores, base: datetime
) -> None:
    [event] = [make_event(1, base=base, user_id="ada")]
    stores.events.append([event])
    archive = archived(stores, base)
    assert stores.events.get(event.id).payload.request == event.payload.request
    job = ErasureJob(
        id=uuid7(int(NOON.timestamp() * 1000), os.urandom(10)),
        subject="ada",
        reason="asked",
        requested_by="ana/1",
        state="running",
        created_at=NOON,
        salt="00" * 16,
    )
    stores.erasures.request(job)
    stores.erasures.destroy(job, now=NOON)
    erased = stores.events.get(event.id).payload
    assert (erased.request, erased.erased is not None) == ("", True)
    again(stores, archive, "restore")
    assert stores.events.get(event.id).payload == erased
    with stores.database.transaction() as connection:
        row = connection.execute(
            "SELECT sealed FROM kintsugi.event_payloads WHERE id = %s", [event.id]
        ).fetchone()
    assert row == (b"",)


@root_only
def test_a_full_disk_at_the_archive_loses_nothing(server: Server, tmp_path: Path) -> None:
    conninfo = server.create()
    base = datetime(2026, 1, 9, tzinfo=UTC)
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        (disk / "ballast").write_bytes(bytes(1_000_000))
        place = Place(address_of(str(disk)), tmp_path / "copies")
        keys = [FileKeys(tmp_path / "vault-key")]
        with open_stores(conninfo, now=lambda: NOON, keys=keys, archive=place) as stores:
            stores.events.append([make_event(n, base=base) for n in range(400)])
            before = list(stores.events.scan(EventFilter(), payload=True))
            with pytest.raises(ArchiveUnavailable, match=r"cannot be written: .*No space left"):
                archived(stores, base)
            assert list(stores.events.scan(EventFilter(), payload=True)) == before
            (disk / "ballast").unlink()
            failed, _ = stores.archives.page(limit=1)
            assert again(stores, failed[0], "write").events == 400
            assert list(stores.events.scan(EventFilter(), payload=True)) == before
    server.drop(conninfo)


def test_a_file_that_does_not_come_back_as_written_stops_everything(
    stores: PostgresStores, base: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores.events.append([make_event(n, base=base) for n in range(4)])
    other = make_event(9, base=base)
    put = Shelf.put

    def swapped(shelf: Shelf, name: str, source: Path) -> None:
        source.write_bytes(re.sub(rb"support", b"suppose", source.read_bytes()))
        put(shelf, name, source)

    monkeypatch.setattr(Shelf, "put", swapped)
    with pytest.raises(ArchiveUnavailable):
        archived(stores, base)
    monkeypatch.undo()
    stores.events.append([other])
    assert len(stores.events.page(of_month(base), limit=9).events) == 5


def test_without_an_archive_its_months_are_named_and_the_others_read(
    server: Server, place: Place, tmp_path: Path
) -> None:
    conninfo = server.create()
    keys = [FileKeys(tmp_path / "vault-key")]
    old, new = make_event(1, base=datetime(2026, 1, 9, tzinfo=UTC)), make_event(2)
    with open_stores(conninfo, now=lambda: NOON, keys=keys, archive=place) as stores:
        stores.events.append([old, new])
        archived(stores, old.timestamp)
    with open_stores(conninfo, now=lambda: NOON, keys=keys) as stores:
        assert stores.events.get(new.id).id == new.id
        with pytest.raises(ArchiveUnavailable, match="KT_ARCHIVE_URL"):
            stores.events.get(old.id)
        assert stores.events.append([old]).duplicates == 1
    server.drop(conninfo)


@pytest.mark.parametrize(
    "url", ["s3://key:secret@bucket/x", "s3://bucket/x?token=secret", "az://a/b#secret"]
)
def test_an_address_with_credentials_is_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        address_of(url)
    assert "secret" not in str(refused.value)


def test_addresses_are_folders_or_urls(tmp_path: Path) -> None:
    assert address_of(str(tmp_path / "a b")) == (tmp_path / "a b").as_uri()
    assert address_of("s3://bucket/folder/") == "s3://bucket/folder"


def test_copies_go_when_there_is_no_room_and_are_fetched_again(
    stores: PostgresStores, base: datetime, place: Place
) -> None:
    [event] = [make_event(1, base=base)]
    stores.events.append([event])
    archived(stores, base)
    before = set(place.copies.glob("*.parquet"))
    stores.events.get(event.id)
    (copy,) = set(place.copies.glob("*.parquet")) - before
    os.utime(copy, (1, 1))
    Copies(Shelf(place.address), place.copies, bytes_max=1)._make_room()
    assert not copy.exists()
    assert stores.events.get(event.id).id == event.id
