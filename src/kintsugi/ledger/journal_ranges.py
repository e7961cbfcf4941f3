"""What a gateway tells of its journals when it sends records: which lines of which series. Pure.

A journal ties every line to all before it (``journal.py``), but only decisions leave the gateway.
So each batch says which stretches of lines its records come from, with the chain before and after
each stretch and each record. Whoever keeps the end of the last stretch sees whether the next one
continues it (``journal_continuity.py``): a line that is missing, moved or rewritten anywhere
between the gateway's disk and the store shows, with its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from itertools import groupby
from typing import Literal

import msgspec

from kintsugi.ledger.journal import LineDamaged, decode_header
from kintsugi.ledger.journal_reader import Entry
from kintsugi.model.journal import JournalRange, Link

RANGES_LINE_START = b'{"kind":"journal",'
_OPENED = b'{"kind":"opened",'

# What becomes of a line: its record is sent, was refused for what is in it, or is no decision.
Role = Literal["sent", "refused", "other"]


class RangesLine(msgspec.Struct, frozen=True, tag_field="kind", tag="journal"):
    """The first line of a batch: where the records that follow come from, in their order."""

    ranges: tuple[JournalRange, ...]


class Telling(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a series was read, and how its next range begins.

    Attributes:
        seq, chain: the last line that was read.
        first_seq, chain_before, refused, rewinds: of the next range.
    """

    seq: int
    chain: str
    first_seq: int
    chain_before: str
    refused: tuple[Link, ...] = ()
    rewinds: bool = False


def told_up_to(seq: int, chain: str) -> Telling:
    """Everything up to this line was told."""
    return Telling(seq, chain, seq + 1, chain)


def tell(
    tellings: Mapping[str, Telling], lines: Iterable[tuple[Entry, Role]]
) -> tuple[tuple[JournalRange, ...], dict[str, Telling]]:
    """The ranges that these lines make, and how far each of their series is told then.

    A range ends at its last record, so that a batch that is sent again in other pieces has a known
    chain at every place where an earlier one may have ended; or where the lines break off.

    Args:
        tellings: by series; none for one that is told from its start.
        lines: as they were read, those of a series in order and together.
    """
    told = dict(tellings)
    ranges: list[JournalRange] = []
    for series, run in groupby(lines, key=lambda line: line[0].segment.series):
        pen = _Pen(series, told.get(series))
        for entry, role in run:
            pen.line(entry.line.seq, entry.line.record, entry.line.chain.hex(), role)
        told[series] = pen.lift()
        ranges += pen.ranges
    return tuple(ranges), told


class _Pen:
    """Writes the ranges of one run of lines."""

    def __init__(self, series: str, told: Telling | None) -> None:
        self.ranges: list[JournalRange] = []
        self._series = series
        # Before the first line: nothing was read, and it cannot continue that.
        self._seq, self._chain = (told.seq, told.chain) if told else (-1, "")
        self._first, self._before = (told.first_seq, told.chain_before) if told else (0, "")
        self._rewinds = told.rewinds if told else False
        self._refused = list(told.refused) if told else []
        self._links: list[Link] = []

    def line(self, seq: int, record: bytes, after: str, role: Role) -> None:
        if not (seq == self._seq + 1 and _continues(self._chain, record, after)):
            self._break_off(seq, record, after)
        if role != "other":
            links = self._links if role == "sent" else self._refused
            links.append(Link(seq, self._chain, after))
        self._seq, self._chain = seq, after

    def lift(self) -> Telling:
        """End the range at its last record; what follows that waits for the next one."""
        if self._links:
            self._close(self._links[-1].seq, self._links[-1].after)
        return Telling(
            seq=self._seq,
            chain=self._chain,
            first_seq=self._first,
            chain_before=self._before,
            refused=tuple(self._refused),
            rewinds=self._rewinds,
        )

    def _break_off(self, seq: int, record: bytes, after: str) -> None:
        """This line does not continue the one before: another range begins with it."""
        if self._first <= self._seq:
            self._close(self._seq, self._chain)
        carried = _carried(record, seq, after)
        self._rewinds = carried is not None and seq <= self._seq
        self._first, self._before = seq, carried or ""
        self._chain = self._before

    def _close(self, last_seq: int, chain_after: str) -> None:
        refused = self._refused
        self.ranges.append(
            JournalRange(
                series=self._series,
                first_seq=self._first,
                last_seq=last_seq,
                chain_before=self._before,
                chain_after=chain_after,
                links=tuple(self._links),
                refused=tuple(link for link in refused if link.seq <= last_seq),
                rewinds=self._rewinds,
            )
        )
        self._first, self._before, self._rewinds = last_seq + 1, chain_after, False
        self._refused = [link for link in refused if link.seq > last_seq]
        self._links = []


def _continues(chain: str, record: bytes, after: str) -> bool:
    return bool(chain) and sha256(bytes.fromhex(chain) + record).hexdigest() == after


def _carried(record: bytes, seq: int, after: str) -> str | None:
    """The chain that a segment's header carries over, if this line is one and it holds."""
    if not record.startswith(_OPENED):
        return None
    try:
        header = decode_header(record)
    except LineDamaged:
        return None
    chain = header.previous_chain
    held = header.previous_seq + 1 == seq and _continues(chain, record, after)
    return chain if held else None
