"""A flipped bit anywhere in a journal is found, with its file, its line and what it hit."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kintsugi.ledger.journal_files import list_segments
from kintsugi.ledger.journal_segments import Disk, SegmentSeries
from kintsugi.ledger.journal_verify import VerifiedSeries, verify_journals

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def identifier(number: int) -> str:
    return f"01900000-0000-7000-8000-{number:012d}"


def written(directory: Path, *, count: int = 12) -> SegmentSeries:
    writer = SegmentSeries(
        directory,
        gateway_id="gw-1",
        worker_id="w0",
        clock=lambda: NOON,
        segment_bytes_max=1000,
        disk=Disk(),
    )
    for number in range(count):
        writer.write([b'{"kind":"decision","id":"%b"}' % identifier(number).encode()])
        writer.sync()
    return writer


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    written(tmp_path).close()
    return tmp_path


def verified(directory: Path) -> VerifiedSeries:
    [found] = verify_journals(directory)
    return found


def test_a_whole_journal_has_no_damage(journal: Path) -> None:
    found = verified(journal)
    assert (found.segments, found.decisions, found.live, found.damages) == (3, 12, False, ())
    assert (found.first_seq, found.last_seq) == (1, found.lines) == (1, 15)


def test_what_is_being_written_is_no_damage(tmp_path: Path) -> None:
    writer = written(tmp_path)
    with writer.path.open("ab") as file:
        file.write(b'{"crc":"0')
    found = verified(tmp_path)
    assert (found.live, found.damages) == (True, ())
    writer.close()
    [torn] = verified(tmp_path).damages
    assert torn.torn


def test_a_changed_record_is_named_with_its_line_and_id(journal: Path) -> None:
    path = journal / list_segments(journal)[1].file_name
    content = path.read_bytes()
    at = content.index(identifier(5).encode())
    path.write_bytes(content[:at] + b"1" + content[at + 1 :])
    found = verified(journal)
    [damage] = found.damages
    assert (damage.file, damage.first_seq, damage.last_seq) == (path.name, 8, 8)
    assert damage.line == content.count(b"\n", 0, at) + 1
    assert damage.records == ("1" + identifier(5)[1:],)
    assert found.decisions == 11, "what comes after is read all the same"


def test_a_segment_that_is_gone_is_named_with_its_lines(journal: Path) -> None:
    segments = list_segments(journal)
    (journal / segments[1].file_name).unlink()
    damages = verified(journal).damages
    assert "segments 1 to 1 are missing" in damages[0].why
    assert (damages[1].first_seq, damages[1].last_seq) == (6, 10)
    (journal / segments[0].file_name).unlink()
    assert verified(journal).damages == (), "what was shipped is deleted from the front"


def test_a_line_that_was_cut_out_is_named(journal: Path) -> None:
    path = journal / list_segments(journal)[2].file_name
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2] + lines[3:]))
    [damage] = verified(journal).damages
    assert (damage.line, damage.first_seq, damage.last_seq) == (3, 13, 13)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(source=st.randoms(use_true_random=False))
def test_any_flipped_bit_is_found_where_it_is(
    tmp_path_factory: pytest.TempPathFactory, source: random.Random
) -> None:
    directory = tmp_path_factory.mktemp("flipped")
    written(directory, count=6).close()
    segment = source.choice(list_segments(directory))
    path = directory / segment.file_name
    content = bytearray(path.read_bytes())
    at = source.randrange(len(content))
    content[at] ^= 1 << source.randrange(8)
    path.write_bytes(content)
    [found] = verify_journals(directory)
    assert found.damages, "a flipped bit that nobody sees"
    first = found.damages[0]
    if first.file == path.name and first.line:
        line = bytes(content[:at]).count(b"\n") + 1
        # A newline that is none any more joins two lines; one that came to be splits one.
        assert first.line in {line - 1, line, line + 1}
