"""Every journal of a gateway, read from end to end: where the first damage is, and what it hit."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path

import msgspec

from kintsugi.ledger.journal import (
    Damage,
    Header,
    Line,
    LineDamaged,
    Position,
    decode_header,
    decode_line,
    scan,
)
from kintsugi.ledger.journal_files import SegmentName, is_live, list_segments

_IDENTIFIER = re.compile(rb'"id":"([0-9a-f-]{36})"')
_DECISION = b'{"kind":"decision",'
_OPENED = b'{"kind":"opened",'


class JournalDamage(msgspec.Struct, frozen=True):
    """One place where a series is not what was written.

    Attributes:
        line: in the file, from 1; 0 for what concerns a whole file.
        offset: in bytes, from 0.
        first_seq, last_seq: lines of the series that it hit; null where nothing tells.
        records: ids that can still be read in the damaged bytes.
        torn: the file ends inside a line, as a death leaves it; recovery cuts that off at the next
            start, and nobody was answered on it.
    """

    file: str
    line: int
    offset: int
    first_seq: int | None
    last_seq: int | None
    why: str
    records: tuple[str, ...] = ()
    torn: bool = False


class VerifiedSeries(msgspec.Struct, frozen=True):
    """One run of one worker.

    Attributes:
        live: whether a worker is writing it now; its last line may be incomplete then.
        first_seq, last_seq: of what is here; what was shipped before is deleted.
        decisions: whole decision records, void ones included.
    """

    series: str
    segments: int
    live: bool
    lines: int
    decisions: int
    first_seq: int
    last_seq: int
    damages: tuple[JournalDamage, ...]


def verify_journals(directory: Path) -> list[VerifiedSeries]:
    """Read every segment of a journal folder with every sum and every chain.

    Works beside a gateway that writes there: what is being written is no damage.
    """
    segments = list_segments(directory)
    return [
        _verify(directory, series, list(run))
        for series, run in groupby(segments, key=lambda segment: segment.series)
    ]


class _Reading:
    """What was read of a series so far."""

    def __init__(self) -> None:
        self.last: Position | None = None
        self.first_seq = 0
        self.lines = 0
        self.decisions = 0
        self.damages: list[JournalDamage] = []

    def take(self, line: Line) -> None:
        self.first_seq = self.first_seq or line.seq
        self.lines += 1
        self.decisions += line.record.startswith(_DECISION)
        self.last = Position(line.seq, line.chain)


def _verify(directory: Path, series: str, segments: list[SegmentName]) -> VerifiedSeries:
    reading = _Reading()
    live = False
    before: SegmentName | None = None
    for segment in segments:
        path = directory / segment.file_name
        try:
            live = is_live(path)
            data = path.read_bytes()
        except FileNotFoundError:
            continue  # shipped and deleted meanwhile
        if before is not None and segment.segment != before.segment + 1:
            why = f"segments {before.segment + 1} to {segment.segment - 1} are missing"
            reading.damages.append(JournalDamage(segment.file_name, 0, 0, None, None, why))
        _read(segment.file_name, data, reading, live=live)
        before = segment
    return VerifiedSeries(
        series=series,
        segments=len(segments),
        live=live,
        lines=reading.lines,
        decisions=reading.decisions,
        first_seq=reading.first_seq,
        last_seq=reading.last.seq if reading.last else 0,
        damages=tuple(reading.damages),
    )


def _read(file: str, data: bytes, reading: _Reading, *, live: bool) -> None:
    offset = 0
    carried: Position | None = None  # None: the header tells
    while offset < len(data):
        found = scan(data[offset:], after=carried, offset=offset)
        for line in found.lines:
            if line.offset == 0:
                _join(file, line, reading)
            reading.take(line)
        damage = found.damage
        if damage is None:
            return
        if not (damage.torn and live):
            reading.damages.append(_describe(file, data, damage))
        if damage.torn or damage.resume_seq is None:
            return
        offset, carried = _past(data, damage)
        if carried is not None:
            reading.take(_line_at(data, damage.resume_at))


def _past(data: bytes, damage: Damage) -> tuple[int, Position | None]:
    """Go on behind the first whole line after a damage: nothing ties it to what was before."""
    line = _line_at(data, damage.resume_at)
    return line.end, Position(line.seq, line.chain)


def _line_at(data: bytes, offset: int) -> Line:
    end = data.index(b"\n", offset)
    return decode_line(data[offset:end], offset=offset)


def _join(file: str, line: Line, reading: _Reading) -> None:
    """Hold a segment's header against the end of the segment before."""
    header = _header(line)
    last = reading.last
    if header is None or last is None:
        return
    if header.reason == "sync_failed" and header.previous_seq <= last.seq:
        return  # what stood behind that line is void and stands here again
    if (header.previous_seq, header.previous_chain) != (last.seq, last.chain.hex()):
        first, end = last.seq + 1, header.previous_seq
        why = f"it continues line {header.previous_seq}; the segment before ends at {last.seq}"
        if header.previous_seq == last.seq:
            why = f"it continues another line {last.seq} than the segment before ends with"
        missing = (first, end) if first <= end else (None, None)
        reading.damages.append(JournalDamage(file, 1, 0, missing[0], missing[1], why))


def _header(line: Line) -> Header | None:
    if not line.record.startswith(_OPENED):
        return None
    try:
        return decode_header(line.record)
    except LineDamaged:
        return None


def _describe(file: str, data: bytes, damage: Damage) -> JournalDamage:
    end = damage.resume_at if damage.resume_at > damage.offset else data.index(b"\n", damage.offset)
    lost = data[damage.offset : end]
    first = damage.seq
    last = first
    if first is not None and damage.resume_seq is not None and damage.resume_seq > first:
        last = damage.resume_seq - 1
    return JournalDamage(
        file=file,
        line=data.count(b"\n", 0, damage.offset) + 1,
        offset=damage.offset,
        first_seq=first,
        last_seq=last,
        why=damage.why,
        records=tuple(sorted({found.decode() for found in _IDENTIFIER.findall(lost)})),
        torn=damage.torn,
    )
