"""What is told of a gateway's journals: stretches of lines, and the records among them."""

from __future__ import annotations

import itertools
from typing import Annotated

import msgspec

Chain = Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{64})?$")]
Seq = Annotated[int, msgspec.Meta(ge=1, le=2**62)]
Series = Annotated[str, msgspec.Meta(pattern=r"^[^./\s]+\.[^./\s]+\.[0-9]{1,18}$", max_length=300)]


class Link(msgspec.Struct, frozen=True, array_like=True):
    """One record: its line, and the chain (hex) before and after it."""

    seq: Seq
    before: Chain
    after: Chain


class JournalRange(msgspec.Struct, frozen=True, omit_defaults=True):
    """A stretch of lines without a hole in it.

    Attributes:
        series: ``GATEWAY.WORKER.STARTED_UNIX_MS``, as the segments' file names begin.
        chain_before: hex; empty when nobody knows it, because the line before is damaged or gone.
        links: of the records that come with it, in order. Other lines hold no decisions.
        refused: records that were refused before for what is in them; kept at the gateway.
        rewinds: lines from ``first_seq`` on that were told before are void: their sync failed and
            they were written again.
    """

    series: Series
    first_seq: Seq
    last_seq: Seq
    chain_before: Chain
    chain_after: Chain
    links: tuple[Link, ...] = ()
    refused: tuple[Link, ...] = ()
    rewinds: bool = False

    def __post_init__(self) -> None:
        """Refuse what no writer of ranges makes; read from outside it is a ValidationError."""
        places = [link.seq for link in self.links]
        rising = all(a < b for a, b in itertools.pairwise(places))
        within = all(
            self.first_seq <= link.seq <= self.last_seq for link in (*self.links, *self.refused)
        )
        if not (rising and within and self.first_seq <= self.last_seq and self.chain_after):
            raise ValueError(f"lines {self.first_seq} to {self.last_seq} are no range")


class JournalSpan(msgspec.Struct, frozen=True):
    """A range as the log keeps it, in the leaf of the batch that it came with.

    Attributes:
        records: how many decisions came with it.
    """

    series: str
    first_seq: int
    last_seq: int
    chain_before: str
    chain_after: str
    records: int


class CheckedRange(msgspec.Struct, frozen=True):
    """A range, held against the records that came with it.

    Attributes:
        wrong: lines whose record is not the one that stands there in the journal.
        moved: whether those are all there, only in another order.
    """

    range: JournalRange
    wrong: tuple[int, ...] = ()
    moved: bool = False

    @property
    def span(self) -> JournalSpan:
        """For the log."""
        told = self.range
        return JournalSpan(
            told.series,
            told.first_seq,
            told.last_seq,
            told.chain_before,
            told.chain_after,
            len(told.links),
        )


class JournalHead(msgspec.Struct, frozen=True):
    """How far a gateway saw one of its journals acknowledged."""

    series: Series
    seq: Seq
    chain: Chain


class MissingLines(msgspec.Struct, frozen=True):
    """Lines of a journal that have not come, though later ones have."""

    series: str
    first_seq: int
    last_seq: int
