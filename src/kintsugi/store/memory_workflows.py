"""Workflows in memory, for unit tests."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import msgspec

from kintsugi.errors import NotFound
from kintsugi.ledger.leaves import workflow_leaf
from kintsugi.model.notice import Notice
from kintsugi.model.notice_sources import of_workflow
from kintsugi.model.seen_parts import STATE_KINDS, Sighting
from kintsugi.model.signal import SignalStore
from kintsugi.model.workflow import (
    STATES_SEEN_MAX,
    NewSighting,
    RiskTier,
    SeenPart,
    SeenWorkflow,
    Standing,
    Workflow,
    WorkflowStatus,
    observations,
    settled,
)
from kintsugi.store.memory_lock import LOCK
from kintsugi.store.seen_workflows import CountedRow, Row, capped_names, capped_parts
from kintsugi.store.workflows import check_version


class MemoryWorkflows:
    """The same promises as ``PostgresWorkflows``.

    Args:
        add_leaf: adds to the Merkle log.
        tell: keeps notices.
    """

    def __init__(
        self,
        add_leaf: Callable[..., int],
        signals: SignalStore,
        tell: Callable[[Sequence[Notice]], None],
    ) -> None:
        self._add_leaf = add_leaf
        self._tell = tell
        self._signals = signals
        self._versions: dict[str, list[Workflow]] = {}
        self._names: dict[str, Sighting] = {}
        self._parts: dict[Row, CountedRow] = {}
        self._judged: set[str | Row] = set()

    def put(self, workflow: Workflow, *, expected_version: int | None) -> Workflow:
        with LOCK:
            versions = self._versions.setdefault(workflow.name, [])
            check_version(workflow.name, len(versions), expected_version)
            kept = msgspec.structs.replace(workflow, version=len(versions) + 1)
            versions.append(kept)
            self._judged = {
                one
                for one in self._judged
                if (one if isinstance(one, str) else one.workflow) != kept.name
            }
            why = f"settled by version {kept.version} of the registration"
            for key in settled(kept, self._parts_of(kept.name)):
                self._signals.over(key, resolution=why, now=kept.at)
            self._tell([of_workflow(kept)])
            self._add_leaf(workflow_leaf(kept), now=kept.at)
        return kept

    def get(self, name: str, version: int | None = None) -> Workflow:
        found = self.versions(name)
        for one in found:
            if version in (None, one.version):
                return one
        shown = name if version is None else f"{name}@{version}"
        raise NotFound(f'there is no workflow "{shown}"; `kt workflows list` shows all')

    def tier_of(self, name: str) -> RiskTier | None:
        """The tier of a registered workflow; None for others."""
        found = self._versions.get(name)
        return found[-1].tier if found else None

    def versions(self, name: str) -> list[Workflow]:
        return self._versions.get(name, [])[::-1]

    def page(self, status: WorkflowStatus | None, *, limit: int, after: str = "") -> list[Workflow]:
        newest = [self._versions[name][-1] for name in sorted(self._versions) if name > after]
        return [one for one in newest if status in (None, one.status)][:limit]

    def count(self, status: WorkflowStatus | None) -> int:
        return len(self.page(status, limit=len(self._versions)))

    def seen(self, name: str) -> SeenWorkflow | None:
        if name not in self._names:
            return None
        one = self._names[name]
        parts = tuple(self._parts_of(name))
        return SeenWorkflow(
            name, self._standing(name), one.first_at, one.last_at, one.events, parts
        )

    def strangers(self, *, limit: int, after: str = "") -> list[SeenWorkflow]:
        found = [self.seen(name) for name in sorted(self._names) if name > after]
        return [one for one in found if one and one.standing != "registered"][:limit]

    def count_strangers(self) -> int:
        return len(self.strangers(limit=len(self._names)))

    def note(self, sightings: Iterable[Sighting], *, now: datetime) -> None:
        with LOCK:
            kept = capped_names(list(sightings), self._names.keys(), stored=len(self._names))
            for one in kept:
                self._names[one.workflow] = _counted(self._names.get(one.workflow), one)
            for row in capped_parts(kept, self._parts.keys()):
                before = self._parts.get(Row(*row[:4]))
                self._parts[Row(*row[:4])] = _more(before, row)
            self._forget_states({one.workflow for one in kept})
            for one in kept:
                self._judge(one.workflow, now=now)

    def _forget_states(self, names: set[str]) -> None:
        for name, kind in itertools.product(names, STATE_KINDS):
            found = [
                row for row in self._parts.values() if (row.workflow, row.kind) == (name, kind)
            ]
            found.sort(key=lambda row: (row.name, row.version))
            found.sort(key=lambda row: row.last_at, reverse=True)
            for row in found[STATES_SEEN_MAX:]:
                del self._parts[Row(*row[:4])]

    def _judge(self, name: str, *, now: datetime) -> None:
        fresh = [row for row in self._parts if row.workflow == name and row not in self._judged]
        new = NewSighting(
            name,
            self._names[name].first_at,
            name not in self._judged,
            [(row.kind, row.name, row.version) for row in sorted(fresh)],
        )
        versions = self.versions(name)
        for seen in observations(new, versions[0] if versions else None):
            self._signals.observe(seen, now=now)
        self._judged.update([name, *fresh])

    def _standing(self, name: str) -> Standing:
        versions = self.versions(name)
        if not versions:
            return "unregistered"
        return "registered" if versions[0].status == "active" else "retired"

    def _parts_of(self, name: str) -> list[SeenPart]:
        versions = self.versions(name)
        return [
            SeenPart(
                row.kind,
                row.name,
                row.version,
                row.first_at,
                row.last_at,
                row.times,
                bool(versions) and versions[0].names(row.kind, row.name, row.version),
            )
            for row in sorted(self._parts.values())
            if row.workflow == name
        ]


def _counted(before: Sighting | None, one: Sighting) -> Sighting:
    if before is None:
        return Sighting(one.workflow, one.first_at, one.last_at, one.events, {})
    return Sighting(
        one.workflow,
        min(before.first_at, one.first_at),
        max(before.last_at, one.last_at),
        before.events + one.events,
        {},
    )


def _more(before: CountedRow | None, row: CountedRow) -> CountedRow:
    if before is None:
        return row
    return row._replace(
        first_at=min(before.first_at, row.first_at),
        last_at=max(before.last_at, row.last_at),
        times=before.times + row.times,
    )
