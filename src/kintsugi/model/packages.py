"""What evidence packages are made of, as the store hands it out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from kintsugi.model.event import DecisionEvent
from kintsugi.model.event_filter import EventFilter


class PackedEvent(msgspec.Struct, frozen=True):
    """An event that belongs into a package.

    Attributes:
        index: place in its batch, from 0.
        record: as stored: what its hash in the log is of.
        event: the same, with content as far as it can be read.
    """

    index: int
    record: str
    event: DecisionEvent


class PackedBatch(msgspec.Struct, frozen=True):
    """A batch of the log with the events of it that belong into a package.

    Attributes:
        leaf, data: position and text of the batch's leaf.
        records: every record of the batch that is stored, in order; of one that went away at the
            end of its time, the hash. Fewer than the leaf tells of where some were lost.
    """

    leaf: int
    data: str
    records: tuple[str | bytes, ...]
    chosen: tuple[PackedEvent, ...]


class PackageStore(Protocol):
    """Reads what goes into packages."""

    def batches(
        self, where: EventFilter, *, unredacted: bool, up_to: int | None = None
    ) -> Iterator[PackedBatch]:
        """Every batch with a matching event, in the order of the log, in constant memory.

        Args:
            up_to: the last position of the store that counts; None for all.
        """

    def reported(self, trace_ids: Sequence[str]) -> list[str]:
        """Those of these traces of which applications reported steps, in the order given."""

    def leaves_of(self, data: list[str]) -> dict[str, int]:
        """Positions of leaves by their text; configuration and custody leaves only. Those that
        are not in the log are left out."""
