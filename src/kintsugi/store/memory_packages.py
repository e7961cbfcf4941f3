"""What packages are made of, in memory, for unit tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from kintsugi.ledger.leaves import EventsLeaf
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.events import EventStore
from kintsugi.model.log import EventInLog, LogStore
from kintsugi.model.packages import PackedBatch, PackedEvent
from kintsugi.model.span import SpanStore
from kintsugi.store.memory_vault import MemoryVault


class MemoryPackages:
    """The same promises as ``PostgresPackages``, by walking through everything."""

    def __init__(
        self, events: EventStore, vault: MemoryVault, spans: SpanStore, log: LogStore
    ) -> None:
        self._events = events
        self._vault = vault
        self._spans = spans
        self._log = log

    def batches(
        self, where: EventFilter, *, unredacted: bool, up_to: int | None = None
    ) -> Iterator[PackedBatch]:
        chosen: dict[int, list[PackedEvent]] = {}
        for record in self._events.scan(where, payload=False):
            event = self._vault.open(record, unredacted=unredacted)
            found = self._log.event(event.id)
            if up_to is not None and _position(self._log, found) > up_to:
                continue
            text = found.records[found.index]
            packed = PackedEvent(found.index, text if isinstance(text, str) else "", event)
            chosen.setdefault(found.leaf, []).append(packed)
        for leaf, events in sorted(chosen.items()):
            events.sort(key=lambda one: one.index)
            records = self._log.event(events[0].event.id).records
            yield PackedBatch(leaf, self._log.leaf(leaf).data, records, tuple(events))

    def reported(self, trace_ids: Sequence[str]) -> list[str]:
        return [one for one in trace_ids if self._spans.spans(one, limit=1)]

    def leaves_of(self, data: list[str]) -> dict[str, int]:
        wanted = set(data)
        leaves = self._log.leaves(before=None, limit=self._log.edge()[0])
        return {leaf.data: leaf.position for leaf in leaves if leaf.data in wanted}


def _position(log: LogStore, found: EventInLog) -> int:
    leaf = msgspec.json.decode(log.leaf(found.leaf).data, type=EventsLeaf)
    return leaf.first_position + found.index
