"""Archives: what moved is read as if it had not, late events stay welcome, and it can come back."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest

from kintsugi.errors import (
    ArchiveDamaged,
    ArchiveUnavailable,
    InvalidInput,
    NotFound,
    StateConflict,
    VersionConflict,
)
from kintsugi.model.archive import Archive, ArchiveTask, is_old_enough, parse_month
from kintsugi.model.custody import CustodyFilter, custody_entry
from kintsugi.model.event import DecisionEvent
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.ids import uuid7
from kintsugi.model.stores import Stores
from kintsugi.model.verdict import Verdict
from kintsugi.store.memory_archives import MemoryArchives
from tests.contract.retention import run_all
from tests.control_plane import blocked_event, make_event
from tests.databases import NOON

JANUARY = datetime(2026, 1, 15, 12, tzinfo=UTC)
EVERYTHING = EventFilter()


def made(number: int = 0, month: str = "2026-01") -> Archive:
    return Archive(
        id=uuid7(int(NOON.timestamp() * 1000) + number, os.urandom(10)),
        month=month,
        created_at=NOON + timedelta(seconds=number),
        created_by="ana",
        actor="ana/1",
        reason="old enough",
    )


def finish(stores: Stores) -> Archive:
    """Do the queued task to its end, claimed anew for each step as after a kill."""
    claimed = stores.archives.claim(now=NOON, stale_after_seconds=60)
    assert claimed is not None
    while claimed.state == "running":
        claimed = stores.archives.step(claimed, now=NOON)
    return claimed


def archived(stores: Stores, number: int = 0) -> Archive:
    archive = made(number)
    stores.archives.request(archive)
    return finish(stores)


def again(stores: Stores, archive: Archive, task: ArchiveTask) -> Archive:
    stores.archives.request_again(archive.id, task, now=NOON)
    return finish(stores)


def fill(stores: Stores) -> list[DecisionEvent]:
    """Events of January and of today, in batches that both are in."""
    old = [make_event(n, base=JANUARY) for n in range(5)] + [blocked_event(7, base=JANUARY)]
    new = [make_event(n) for n in range(3)]
    stores.events.append([old[0], new[0], old[1]])
    stores.events.append([*old[2:], new[1]])
    stores.events.append([new[2]])
    while stores.events.index_pending(limit=100):
        pass
    return [*old, *new]


def everything(stores: Stores, events: list[DecisionEvent]) -> object:
    """All that reads tell of these events."""
    return (
        [stores.events.get(event.id) for event in events],
        stores.events.page(EVERYTHING, limit=100).events,
        stores.events.page(EventFilter(verdict=Verdict.BLOCK), limit=100).events,
        stores.events.count(EventFilter(user="user-1"), ceiling=100),
        stores.events.tail(after=0, where=EVERYTHING, limit=100),
        list(stores.events.scan(EVERYTHING, payload=True)),
        list(stores.events.scan(EventFilter(policy="prompt-injection"), payload=False)),
        [stores.log.event(event.id) for event in events],
        stores.log.batch(1, len(events)),
        list(stores.packages.batches(EVERYTHING, unredacted=False)),
    )


def test_an_archived_month_reads_as_before(stores: Stores) -> None:
    events = fill(stores)
    before = everything(stores, events)
    done = archived(stores)
    assert (done.state, done.events, done.in_force) == ("done", 6, True)
    assert everything(stores, events) == before
    page = stores.events.page(EVERYTHING, limit=100)
    assert page.from_archive == ("2026-01",)
    assert stores.events.page(EventFilter(since=NOON), limit=100).from_archive == ()


def test_what_is_archived_is_in_custody_with_its_digest(stores: Stores) -> None:
    fill(stores)
    done = archived(stores)
    (entry,) = stores.custody.of([f"archive:{done.id}"])
    assert (entry.action, entry.actor) == ("archive", "ana/1")
    assert entry.digest_after == f"sha256:{done.manifest_sha256}"
    assert stores.custody.count(CustodyFilter(action="archive"), ceiling=9) == 1


def test_words_of_archived_months_are_not_searched_and_pages_say_so(stores: Stores) -> None:
    events = fill(stores)
    found = stores.events.page(EventFilter(q="order"), limit=100)
    assert len(found.events) > 3
    assert found.not_searched == ()
    archived(stores)
    found = stores.events.page(EventFilter(q="order"), limit=100)
    assert {event.id for event in found.events} == {event.id for event in events[-3:]}
    assert found.not_searched == ("2026-01",)
    recent = EventFilter(q="order", since=NOON - timedelta(days=1))
    assert stores.events.page(recent, limit=9).not_searched == ()


def test_content_of_an_archived_event_is_revealed_and_erased(stores: Stores) -> None:
    events = fill(stores)
    done = archived(stores)
    entry = custody_entry("reveal", f"event:{events[0].id}", actor="ana/1", now=NOON)
    assert stores.events.reveal(events[0].id, entry).request == events[0].payload.request
    assert done.state == "done"


def test_an_event_that_comes_again_is_known_and_a_late_one_is_stored(stores: Stores) -> None:
    events = fill(stores)
    archived(stores)
    assert stores.events.append([events[0]]).duplicates == 1
    late = make_event(50, base=JANUARY)
    assert stores.events.append([late]).stored == 1
    before = everything(stores, [*events, late])
    assert [size.month for size in stores.archives.months()] == ["2026-01", "2026-04"]
    addition = archived(stores, 1)
    assert addition.events == 1
    assert len(stores.archives.in_force(month="2026-01")) == 2
    assert everything(stores, [*events, late]) == before


def test_what_comes_while_a_month_is_archived_stays_in_the_database(stores: Stores) -> None:
    events = fill(stores)
    stores.archives.request(made())
    claimed = stores.archives.claim(now=NOON, stale_after_seconds=60)
    assert claimed is not None
    claimed = stores.archives.step(claimed, now=NOON)
    late = make_event(50, base=JANUARY)
    stores.events.append([late])
    before = everything(stores, [*events, late])
    while claimed.state == "running":
        claimed = stores.archives.step(claimed, now=NOON)
    assert claimed.events == 6
    assert everything(stores, [*events, late]) == before
    assert archived(stores, 1).events == 1


def test_a_month_comes_back_and_can_be_archived_again(stores: Stores) -> None:
    events = fill(stores)
    before = everything(stores, events)
    done = archived(stores)
    back = again(stores, done, "restore")
    assert back.restored_at == NOON
    assert not back.in_force
    assert everything(stores, events) == before
    assert stores.events.page(EVERYTHING, limit=100).from_archive == ()
    assert len(stores.events.page(EventFilter(q="order"), limit=100).events) > 3
    with pytest.raises(StateConflict, match="brought back"):
        stores.archives.request_again(done.id, "restore", now=NOON)
    assert archived(stores, 2).events == 6
    assert everything(stores, events) == before


def test_an_interrupted_task_goes_on_where_it_was(stores: Stores) -> None:
    events = fill(stores)
    before = everything(stores, events)
    stores.archives.request(made())
    steps = 0
    while True:
        # Claimed anew for each step, as if every worker were killed after it.
        later = NOON + timedelta(minutes=5 * steps)
        claimed = stores.archives.claim(now=later, stale_after_seconds=60)
        assert claimed is not None
        assert everything(stores, events) == before
        steps += 1
        done = stores.archives.step(claimed, now=later)
        if done.state == "done":
            break
    assert steps >= 3
    assert done.events == 6
    assert everything(stores, events) == before


def test_whoever_was_overtaken_stops(stores: Stores) -> None:
    fill(stores)
    stores.archives.request(made())
    first = stores.archives.claim(now=NOON, stale_after_seconds=60)
    later = NOON + timedelta(minutes=5)
    second = stores.archives.claim(now=later, stale_after_seconds=60)
    assert first is not None
    assert second is not None
    with pytest.raises(VersionConflict):
        stores.archives.step(first, now=later)
    stores.archives.cancel(second.id, now=later)
    with pytest.raises(VersionConflict):
        stores.archives.step(second, now=later)
    with pytest.raises(StateConflict):
        stores.archives.cancel(second.id, now=later)
    again(stores, second, "write")
    assert stores.archives.get(second.id).in_force


def test_one_task_for_a_month_at_a_time(stores: Stores) -> None:
    fill(stores)
    stores.archives.request(made())
    with pytest.raises(StateConflict, match="2026-01 is being worked on"):
        stores.archives.request(made(1))
    with pytest.raises(InvalidInput):
        stores.archives.request(msgspec.structs.replace(made(), id="nothing"))
    with pytest.raises(NotFound):
        stores.archives.get("nothing")


def test_an_empty_month_is_refused(stores: Stores) -> None:
    fill(stores)
    stores.archives.request(made(month="2026-02"))
    with pytest.raises(StateConflict, match="nothing of 2026-02"):
        finish(stores)


def test_pages_of_archives_are_newest_first(stores: Stores) -> None:
    fill(stores)
    for number, month in enumerate(("2026-01", "2026-02", "2026-03")):
        stores.archives.request(made(number, month))
    first, cursor = stores.archives.page(limit=2)
    assert [one.month for one in first] == ["2026-03", "2026-02"]
    rest, cursor = stores.archives.page(limit=2, cursor=cursor)
    assert [one.month for one in rest] == ["2026-01"]
    assert cursor is None
    assert [one.month for one in stores.archives.page(month="2026-02", limit=9)[0]] == ["2026-02"]


def damage(stores: Stores, change: Callable[[bytes], bytes | None]) -> str:
    """Change the first archived file, or take it away; its path."""
    if isinstance(stores.archives, MemoryArchives):
        files = stores.archives.shelf.files
        path = next(iter(files))
        changed = change(files[path])
        if changed is None:
            del files[path]
        else:
            files[path] = changed
        return path
    folder = Path(urlsplit(stores.archives.place).path)
    archive = stores.archives.in_force()[-1]
    name = next(one.name for one in stores.archives.files(archive.id) if one.holds == "events")
    path = f"{archive.folder}/{name}"
    changed = change((folder / path).read_bytes())
    if changed is None:
        (folder / path).unlink()
    else:
        (folder / path).write_bytes(changed)
    return path


def flipped(content: bytes) -> bytes:
    half = len(content) // 2
    return content[:half] + bytes([content[half] ^ 4]) + content[half + 1 :]


def test_a_missing_file_is_named_and_no_page_is_shorter_for_it(stores: Stores) -> None:
    events = fill(stores)
    archived(stores)
    path = damage(stores, lambda _: None)
    reads: tuple[Callable[[], object], ...] = (
        lambda: stores.events.get(events[0].id),
        lambda: stores.events.page(EVERYTHING, limit=100),
        lambda: list(stores.events.scan(EVERYTHING, payload=True)),
        lambda: stores.events.tail(after=0, where=EVERYTHING, limit=100),
    )
    for read in reads:
        with pytest.raises(ArchiveUnavailable, match=path):
            read()
    assert len(stores.events.page(EventFilter(since=NOON), limit=100).events) == 3
    assert stores.events.count(EVERYTHING, ceiling=100) == 9
    (finding,) = stores.archives.look()
    assert finding.where == path


def test_a_changed_file_is_not_believed(stores: Stores) -> None:
    events = fill(stores)
    done = archived(stores)
    path = damage(stores, flipped)
    with pytest.raises(ArchiveDamaged, match=path):
        stores.events.get(events[0].id)
    checked = again(stores, done, "verify")
    assert checked.state == "done"
    assert any(one.where.startswith(path) for one in checked.findings)
    assert checked.in_force


def test_a_whole_archive_is_verified_as_such(stores: Stores) -> None:
    fill(stores)
    done = archived(stores)
    assert stores.archives.look() == []
    checked = again(stores, done, "verify")
    assert checked.findings == ()
    assert checked.verified_at == NOON
    acts = {(one.action, one.reason) for one in stores.custody.of([f"archive:{done.id}"])}
    assert acts == {("archive", "old enough"), ("verify", "as written")}


def test_contents_of_archived_months_outlive_their_time_by_name(stores: Stores) -> None:
    fill(stores)
    done = archived(stores)
    step = stores.retention.look("payloads", before=NOON - timedelta(days=30), after="", limit=100)
    assert (step.free, step.kept) == ((), 6)
    assert [(one.by, one.name) for one in step.kept_by] == [(f"archive:{done.id}", "2026-01")]


def test_a_month_is_old_enough_when_whole_months_lie_between() -> None:
    def old(month: str, now: datetime) -> bool:
        return is_old_enough(month, months=6, now=now)

    assert not old("2026-01", datetime(2026, 8, 1, 23, tzinfo=UTC))
    assert old("2026-01", datetime(2026, 8, 2, tzinfo=UTC))
    assert old("2025-12", datetime(2026, 7, 2, tzinfo=UTC))
    assert not old("2026-12", datetime(2027, 7, 1, tzinfo=UTC))
    assert is_old_enough("2026-12", months=0, now=datetime(2027, 1, 2, tzinfo=UTC))
    assert parse_month("2026-12")[1] == datetime(2027, 1, 1, tzinfo=UTC)
    for wrong in ("2026-13", "26-01", "2026-1", "2026-01-01", ""):
        with pytest.raises(ValueError, match="is no month"):
            parse_month(wrong)


def test_an_archived_month_expires_with_its_files(stores: Stores) -> None:
    events = fill(stores)
    archive = archived(stores)
    first = stores.archives.files(archive.id)[0]
    later = NOON + timedelta(days=1900)
    before = run_all(stores, 1, now=NOON + timedelta(days=60))
    assert before.of("events").removed == 0
    assert stores.archives.remove_expired(now=NOON) == 0
    run = run_all(stores, 2, now=later)
    assert run.of("events").removed >= 6
    with pytest.raises(NotFound, match="January 2026 expired"):
        stores.events.get(events[0].id)
    assert stores.archives.in_force() == []
    assert stores.archives.remove_expired(now=later) == 1
    assert stores.archives.remove_expired(now=later) == 0
    found = stores.archives.get(archive.id)
    assert (found.expired_at, found.removed_at, first.rows) == (later, later, first.rows)
    with pytest.raises(StateConflict, match="has expired"):
        stores.archives.request_again(archive.id, "restore", now=later)
    [entry] = [
        one for one in stores.custody.of([f"archive:{archive.id}"]) if one.action == "delete"
    ]
    assert "2026-01" in entry.reason
