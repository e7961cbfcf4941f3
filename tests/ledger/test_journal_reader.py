"""Following a journal while it is written, turned over, torn and damaged."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from kintsugi.ledger.journal import Damage
from kintsugi.ledger.journal_files import SegmentName
from kintsugi.ledger.journal_reader import Entry, JournalReader, Place, read_segment
from kintsugi.ledger.journal_segments import Disk, SegmentSeries

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def series(
    directory: Path, worker_id: str = "w0", *, segment_bytes_max: int = 10_000_000
) -> SegmentSeries:
    return SegmentSeries(
        directory,
        gateway_id="gw-1",
        worker_id=worker_id,
        clock=lambda: NOON,
        segment_bytes_max=segment_bytes_max,
        disk=Disk(),
    )


@contextmanager
def written(directory: Path, *records: bytes) -> Iterator[SegmentSeries]:
    writer = series(directory)
    writer.write(records)
    writer.sync()
    try:
        yield writer
    finally:
        writer.close()


def reader(directory: Path, places: dict[str, Place] | None = None) -> JournalReader:
    return JournalReader(directory, places=places or {}, on_damage=unexpected)


def unexpected(segment: SegmentName, damage: Damage) -> None:
    raise AssertionError(f"{segment}: {damage}")


def records(entries: list[Entry]) -> list[bytes]:
    return [
        entry.line.record for entry in entries if not entry.line.record.startswith(b'{"kind":"op')
    ]


def read(journal: JournalReader, *, lines_max: int = 1000, bytes_max: int = 1 << 20) -> list[Entry]:
    return journal.read(lines_max=lines_max, bytes_max=bytes_max)


def test_a_directory_that_is_not_there_yet_reads_as_empty(tmp_path: Path) -> None:
    assert read(reader(tmp_path / "missing")) == []


def test_what_a_live_writer_appends_is_seen(tmp_path: Path) -> None:
    journal = reader(tmp_path)
    with written(tmp_path, b'{"a":1}') as writer:
        assert records(read(journal)) == [b'{"a":1}']
        assert read(journal) == []
        writer.write([b'{"a":2}', b'{"a":3}'])
        assert records(read(journal)) == [b'{"a":2}', b'{"a":3}']
        assert not journal.is_finished(SegmentName.parse(writer.path.name))  # type: ignore[arg-type]


def test_half_a_line_of_a_live_writer_is_waited_for(tmp_path: Path) -> None:
    with written(tmp_path, b'{"a":1}') as writer:
        journal = reader(tmp_path)
        whole = writer.path.read_bytes()
        writer.path.write_bytes(whole[:-5])
        assert records(read(journal)) == []
        writer.path.write_bytes(whole)
        assert records(read(journal)) == [b'{"a":1}']


def test_a_segment_is_finished_when_its_writer_is_gone(tmp_path: Path) -> None:
    journal = reader(tmp_path)
    with written(tmp_path, b'{"a":1}') as writer:
        name = SegmentName.parse(writer.path.name)
        assert name is not None
        read(journal)
        read(journal)
        assert not journal.is_finished(name)
    read(journal)
    assert journal.is_finished(name)


def test_reading_goes_through_turned_over_segments_in_order(tmp_path: Path) -> None:
    writer = series(tmp_path, segment_bytes_max=600)
    wanted = [b'{"a":%d}' % number for number in range(40)]
    for record in wanted:
        writer.write([record])
        writer.sync()
    assert records(read(reader(tmp_path))) == wanted
    writer.close()


@given(lines_max=st.integers(1, 7), bytes_max=st.integers(1, 900))
def test_every_limit_gives_the_same_records(
    tmp_path_factory: object, lines_max: int, bytes_max: int
) -> None:
    directory = tmp_path_factory.mktemp("journal")  # type: ignore[attr-defined]
    wanted = [b'{"a":"%b"}' % (b"x" * (number * 7 % 50)) for number in range(20)]
    with written(directory, *wanted):
        journal = reader(directory)
        found: list[bytes] = []
        while entries := read(journal, lines_max=lines_max, bytes_max=bytes_max):
            assert len(entries) <= lines_max
            found += records(entries)
        assert found == wanted


def test_reading_begins_again_at_a_saved_place(tmp_path: Path) -> None:
    with written(tmp_path, b'{"a":1}', b'{"a":2}', b'{"a":3}') as writer:
        first = read(reader(tmp_path), lines_max=2)
        places = {writer.path.name: first[-1].place}
        assert records(read(reader(tmp_path, places))) == [b'{"a":2}', b'{"a":3}']


def test_damage_in_the_middle_is_reported_once_and_passed_over(tmp_path: Path) -> None:
    with written(tmp_path, b'{"a":1}', b'{"a":2}', b'{"a":3}') as writer:
        content = writer.path.read_bytes()
        at = content.index(b'{"a":2}')
        writer.path.write_bytes(content[:at] + b"#" + content[at + 1 :])
        damages: list[Damage] = []
        journal = JournalReader(
            tmp_path, places={}, on_damage=lambda _segment, damage: damages.append(damage)
        )
        assert records(read(journal)) == [b'{"a":1}', b'{"a":3}']
        assert read(journal) == []
        assert [(damage.seq, damage.why) for damage in damages] == [(3, "the CRC does not match")]
        name = SegmentName.parse(writer.path.name)
        assert name is not None
        assert journal.is_damaged(name)


def test_a_segment_that_is_deleted_is_forgotten(tmp_path: Path) -> None:
    journal = reader(tmp_path)
    with written(tmp_path, b'{"a":1}') as writer:
        read(journal)
        path = writer.path
    path.unlink()
    assert read(journal) == []


def test_two_readers_at_once_do_not_mistake_each_other_for_a_writer(tmp_path: Path) -> None:
    with written(tmp_path, b'{"a":1}') as writer:
        path = writer.path
    journal = reader(tmp_path)
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        read(journal)
        read(journal)
    name = SegmentName.parse(path.name)
    assert name is not None
    assert journal.is_finished(name)


def test_a_torn_tail_is_the_last_thing_a_finished_segment_reports(tmp_path: Path) -> None:
    with written(tmp_path, b'{"a":1}', b'{"a":2}') as writer:
        path = writer.path
    content = path.read_bytes()
    path.write_bytes(content[:-3])
    damages: list[Damage] = []
    lines = list(read_segment(path, on_damage=damages.append))
    assert [line.record for line in lines[1:]] == [b'{"a":1}']
    assert [(damage.offset, damage.torn) for damage in damages] == [(lines[-1].end, True)]


def test_a_line_longer_than_the_chunk_is_read_whole(tmp_path: Path) -> None:
    long = b'{"a":"%b"}' % (b"x" * 3_000_000)
    with written(tmp_path, b'{"a":1}', long, b'{"a":2}'):
        journal = reader(tmp_path)
        found = []
        while entries := read(journal, bytes_max=1000):
            found += records(entries)
        assert found == [b'{"a":1}', long, b'{"a":2}']
