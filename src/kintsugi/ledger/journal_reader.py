"""Reads a journal's records in order while others write it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from kintsugi.ledger.journal import Damage, Line, Position, scan
from kintsugi.ledger.journal_files import SegmentName, is_live, list_segments

_CHUNK_BYTES = 1024 * 1024


class Place(msgspec.Struct, frozen=True):
    """How far a segment was read.

    Attributes:
        offset: the first byte that was not read; the start of a line.
        seq: the last line's sequence number; 0 at the start.
        chain: the last line's chain in hex; empty when chains were not verified.
    """

    offset: int = 0
    seq: int = 0
    chain: str = ""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One line and the segment it stands in."""

    segment: SegmentName
    line: Line

    @property
    def place(self) -> Place:
        """The place after it."""
        return Place(self.line.end, self.line.seq)


OnDamage = Callable[[SegmentName, Damage], None]


class SegmentReader:
    """Reads one segment from a place on; sees what is appended later.

    Lines in the middle that are damaged are reported and passed over. An incomplete line at the
    end is left alone: its writer may be about to complete it.
    """

    def __init__(
        self,
        path: Path,
        place: Place,
        *,
        on_damage: Callable[[Damage], None],
        verify_chain: bool = False,
    ) -> None:
        self.place = place
        self.damaged = False
        self._path = path
        self._on_damage = on_damage
        # A place that was saved without its chain cannot be verified from.
        self._verify_chain = verify_chain and (place.offset == 0 or bool(place.chain))

    def read(self, *, lines_max: int, bytes_max: int) -> tuple[Line, ...]:
        """The next whole lines; empty when there are none now, or the segment is gone."""
        while True:
            data = self._next_whole_lines(bytes_max)
            if not data:
                return ()
            result = scan(
                data,
                after=self._position(),
                offset=self.place.offset,
                lines_max=lines_max,
                verify_chain=self._verify_chain,
            )
            if result.lines:
                last = result.lines[-1]
                self.place = Place(last.end, last.seq, last.chain.hex())
            if result.damage is not None:
                self._pass_over(result.damage)
            if result.lines:
                return result.lines

    def tail(self) -> bytes:
        """What stands after the last whole line; the torn tail once nobody writes any more."""
        try:
            with self._path.open("rb") as file:
                file.seek(self.place.offset)
                return file.read()
        except FileNotFoundError:
            return b""

    def _position(self) -> Position | None:
        if self.place.offset == 0:
            return None
        return Position(self.place.seq, bytes.fromhex(self.place.chain))

    def _pass_over(self, damage: Damage) -> None:
        self.damaged = True
        self._on_damage(damage)
        # Past the damage nothing ties the lines to those before; CRC and sequence still hold.
        self._verify_chain = False
        seq = self.place.seq if damage.resume_seq is None else damage.resume_seq - 1
        self.place = Place(damage.resume_at, seq)

    def _next_whole_lines(self, bytes_max: int) -> bytes:
        try:
            descriptor = os.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            return b""
        try:
            size = bytes_max
            while True:
                data = os.pread(descriptor, size, self.place.offset)
                end = data.rfind(b"\n") + 1
                if end or len(data) < size:
                    return data[:end]
                size *= 2  # one line longer than what was asked for
        finally:
            os.close(descriptor)


class JournalReader:
    """Follows every segment of a directory from given places; at least once, in order per series.

    A line may be seen again in a later segment when the sync of its first copy failed; records
    carry ids, so that readers can tell.

    Args:
        places: by file name, as saved from ``Entry.place``; a segment without one is read from
            its start.
        on_damage: told of each damage once, when it is passed over.
    """

    def __init__(
        self, directory: Path, *, places: Mapping[str, Place], on_damage: OnDamage
    ) -> None:
        self._directory = directory
        self._places = dict(places)
        self._on_damage = on_damage
        self._readers: dict[SegmentName, SegmentReader] = {}
        self._finished: set[SegmentName] = set()

    def read(self, *, lines_max: int, bytes_max: int) -> list[Entry]:
        """At most so many of the next lines; empty when everything was read."""
        entries: list[Entry] = []
        for segment in self._segments():
            reader = self._readers[segment]
            while segment not in self._finished and lines_max > 0 and bytes_max > 0:
                # Asked before reading: what is finished now gains nothing after the read.
                live = self._is_live(segment)
                lines = reader.read(lines_max=lines_max, bytes_max=min(bytes_max, _CHUNK_BYTES))
                if not lines:
                    if not live:
                        self._finished.add(segment)
                    break
                entries.extend(Entry(segment, line) for line in lines)
                lines_max -= len(lines)
                bytes_max -= lines[-1].end - lines[0].offset
        return entries

    def place(self, segment: SegmentName) -> Place:
        """How far this segment was read."""
        reader = self._readers.get(segment)
        return Place() if reader is None else reader.place

    def is_finished(self, segment: SegmentName) -> bool:
        """Whether it was read to its end and nobody will append to it."""
        return segment in self._finished

    def is_damaged(self, segment: SegmentName) -> bool:
        """Whether lines of it had to be passed over."""
        reader = self._readers.get(segment)
        return reader is not None and reader.damaged

    def _segments(self) -> list[SegmentName]:
        segments = list_segments(self._directory)
        for segment in segments:
            if segment not in self._readers:
                self._readers[segment] = SegmentReader(
                    self._directory / segment.file_name,
                    self._places.pop(segment.file_name, Place()),
                    on_damage=lambda damage, segment=segment: self._on_damage(segment, damage),  # type: ignore[misc]
                )
        for gone in self._readers.keys() - set(segments):
            del self._readers[gone]
            self._finished.discard(gone)
        return segments

    def _is_live(self, segment: SegmentName) -> bool:
        try:
            return is_live(self._directory / segment.file_name)
        except FileNotFoundError:
            return False


def read_segment(path: Path, *, on_damage: Callable[[Damage], None]) -> Iterator[Line]:
    """Every whole line of a finished segment, chains verified, in constant memory.

    A torn tail is the last thing reported to ``on_damage``.
    """
    reader = SegmentReader(path, Place(), on_damage=on_damage, verify_chain=True)
    while lines := reader.read(lines_max=10_000, bytes_max=_CHUNK_BYTES):
        yield from lines
    tail = reader.tail()
    if tail:
        offset = reader.place.offset
        on_damage(
            Damage(
                offset=offset,
                resume_at=offset + len(tail),
                resume_seq=None,
                seq=reader.place.seq + 1,
                why="the line is not complete",
                torn=True,
            )
        )
