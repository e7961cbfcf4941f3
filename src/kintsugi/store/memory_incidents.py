"""Incidents in memory, for unit tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from kintsugi.errors import InvalidInput, NotFound
from kintsugi.ledger.leaves import incident_leaf
from kintsugi.model.captured import CAPTURED, FILLED_MAX, captured, filled_since
from kintsugi.model.event import DecisionEvent
from kintsugi.model.incident import (
    ENDED,
    Change,
    Decide,
    Entry,
    Incident,
    IncidentFilter,
    OwedObligation,
    TimelineEntry,
    TimelineOrder,
    record_of,
)
from kintsugi.model.incident_access import may_see, visibility_of
from kintsugi.model.incident_keys import number_in
from kintsugi.model.incident_terms import NEWEST, terms_of
from kintsugi.model.notice import Notice
from kintsugi.model.notice_sources import of_incident
from kintsugi.model.retention import Keeper
from kintsugi.store.cursors import paged, place_in
from kintsugi.store.incidents import NEVER, begins_anew, check_event_ids, check_version
from kintsugi.store.memory_followups import MemoryFollowups
from kintsugi.store.memory_lock import LOCK
from kintsugi.store.memory_notices import Tell
from kintsugi.store.memory_regression_ledger import MemoryRegressionLedger


class MemoryIncidents:
    """The same promises as ``PostgresIncidents``.

    Args:
        add_leaf: adds to the Merkle log.
        announce: wakes whoever waits for a change.
        known: whether an event is stored.
        tell: keeps notices.
        followups: where actions and the like are kept.
        told_before: notices of some types within a window.
        ledger: of the regression cases that bind.
    """

    def __init__(
        self,
        add_leaf: Callable[..., int],
        announce: Callable[[], None],
        known: Callable[[str], bool],
        tell: Tell,
        followups: MemoryFollowups,
        told_before: Callable[..., list[Notice]],
        ledger: MemoryRegressionLedger,
    ) -> None:
        self._ledger = ledger
        self._add_leaf = add_leaf
        self._announce = announce
        self._known = known
        self._tell = tell
        self._followups = followups
        self._told_before = told_before
        self._incidents: dict[str, Incident] = {}
        self._entries: list[Entry] = []
        self._tied: dict[str, set[str]] = {}

    def change(
        self,
        keys: Sequence[str],
        decide: Decide,
        *,
        now: datetime,
        expected_version: int | None = None,
    ) -> tuple[Incident, ...]:
        with LOCK:
            before = tuple(self.get(key) for key in keys)
            check_version(before, expected_version)
            changes = decide(before)
            for change in changes:
                self._check(change)
            entries = [self._ledger.enter(change.bind) for change in changes]
            stored = tuple(self._store(change, now=now) for change in changes)
            for change, incident in zip(changes, stored, strict=True):
                if change.entries and begins_anew(before, incident):
                    self._fill_in(incident, now=now)
            for bound in entries:
                self._ledger.add_leaves(bound, now=now)
        self._announce()
        return stored

    def get(self, key: str) -> Incident:
        number = number_in(key)
        for found in self._incidents.values():
            if found.id == key.lower() or found.number == number:
                return found
        raise NotFound(f'there is no incident "{key}"')

    def page(
        self, where: IncidentFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[Incident], str | None]:
        before = place_in(cursor)
        found = sorted(
            (
                one
                for one in self._incidents.values()
                if _is(one, where) and (before is None or (one.reported_at, one.id) < before)
            ),
            key=lambda one: (one.reported_at, one.id),
            reverse=True,
        )
        return paged(found, limit, lambda one: (one.reported_at, one.id))

    def count(self, where: IncidentFilter, *, ceiling: int) -> int:
        return min(ceiling, sum(_is(one, where) for one in self._incidents.values()))

    def timeline(
        self,
        incident_id: str,
        *,
        order: TimelineOrder,
        pinned_only: bool,
        limit: int,
        cursor: str | None = None,
    ) -> tuple[list[TimelineEntry], str | None]:
        before = place_in(cursor)

        def when(one: Entry) -> tuple[datetime, str]:
            return getattr(one, order), one.id

        found = [
            TimelineEntry(one, self._pinned(one), self._annotations(one))
            for one in sorted(self._entries, key=when, reverse=True)
            if one.incident_id == incident_id
            and not one.about
            and (before is None or when(one) < before)
            and (not pinned_only or self._pinned(one))
        ]
        return paged(found, limit, lambda one: when(one.entry))

    def entry(self, incident_id: str, entry_id: str) -> Entry:
        for one in self._entries:
            if (one.incident_id, one.id) == (incident_id, entry_id.lower()):
                return one
        raise NotFound(f'this incident has no entry "{entry_id}"')

    def incidents_of(self, event_id: str) -> list[Incident]:
        return [
            one
            for one in self.page(IncidentFilter(), limit=1_000_000)[0]
            if event_id.lower() in self._tied.get(one.id, ())
        ]

    def sharing(self, terms: Sequence[str], *, besides: str) -> list[tuple[str, str]]:
        newest = sorted(self._incidents.values(), key=lambda one: one.id, reverse=True)
        return [
            (term, one.id)
            for term in terms
            for one in [one for one in newest if one.id != besides and term in terms_of(one)][
                :NEWEST
            ]
        ]

    def restricted(self, ids: Sequence[str], *, viewer: str) -> frozenset[str]:
        return frozenset(
            one.id
            for one in self._incidents.values()
            if one.id in set(ids) and not may_see(one, viewer)
        )

    def keepers_of(self, event: DecisionEvent) -> list[Keeper]:
        """Open incidents that an event is tied to, or whose gateway named it."""
        found = [self._root(one) for one in self.incidents_of(event.id)]
        keepers = {_as_keeper(one) for one in found if one.state not in ENDED}
        return sorted({*keepers, *self.open_named(event.incident_id)})

    def open_named(self, key: str) -> list[Keeper]:
        """The incident of this name, where it is open; none where it has ended or is unknown."""
        try:
            found = self._root(self.get(key)) if key else None
        except NotFound:
            return []
        return [_as_keeper(found)] if found is not None and found.state not in ENDED else []

    def _root(self, incident: Incident) -> Incident:
        while incident.merged_into in self._incidents:
            incident = self._incidents[incident.merged_into]
        return incident

    def obligations(
        self,
        *,
        terminal: bool | None,
        limit: int,
        cursor: str | None = None,
        viewer: str | None = None,
    ) -> tuple[list[OwedObligation], str | None]:
        after = place_in(cursor)
        found = sorted(
            (
                one
                for one in self._owed()
                # Neither end depends on the time.
                if terminal in (None, one.obligation.terminal(NEVER))
                and (viewer is None or may_see(one.incident, viewer))
                and (after is None or _due(one) > after)
            ),
            key=_due,
        )
        return paged(found, limit, _due)

    def obligation(self, obligation_id: str) -> OwedObligation:
        for one in self._owed():
            if one.obligation.id == obligation_id.lower():
                return one
        raise NotFound(f'there is no obligation "{obligation_id}"')

    def tied(self, key: str) -> frozenset[str]:
        """Ids of the events of an incident and of those merged into it; empty when unknown."""
        try:
            wanted = self.family(self.get(key).id)
        except NotFound:
            return frozenset()
        return frozenset(event for one in wanted for event in self._tied.get(one, ()))

    def family(self, incident_id: str) -> list[str]:
        wanted = [incident_id]
        while more := sorted(
            one.id
            for one in self._incidents.values()
            if one.merged_into in wanted and one.id not in wanted
        ):
            wanted += more
        return wanted

    def tell(self, entries: Sequence[Entry], *, now: datetime) -> None:
        """What ``store.timelines.write_entries`` does."""
        with LOCK:
            known = {(one.incident_id, one.source) for one in self._entries if one.source}
            new = [one for one in entries if (one.incident_id, one.source) not in known]
            self._entries += [msgspec.json.decode(record_of(one), type=Entry) for one in new]
            for incident_id in dict.fromkeys(one.incident_id for one in new):
                told = [one for one in new if one.incident_id == incident_id]
                leaf = incident_leaf(self.get(incident_id), told, now=now)
                self._add_leaf(leaf, now=now)
        self._announce()

    def capture(self, notices: Sequence[Notice]) -> None:
        """What ``store.timelines.capture`` does."""
        wanted = [one for one in notices if one.type in CAPTURED]
        with LOCK:
            for one in wanted:
                for incident in list(self._incidents.values()):
                    named = one.data.get("incident_id")
                    if incident.state not in ENDED or named in (incident.id, incident.reference):
                        self._tell_once(captured(one, incident, now=one.at))

    def _fill_in(self, incident: Incident, *, now: datetime) -> None:
        since = filled_since(incident)
        for one in self._told_before(CAPTURED, since=since, until=now, limit=FILLED_MAX):
            self._tell_once(captured(one, incident, now=now))

    def _tell_once(self, entry: Entry | None) -> None:
        known = {(one.incident_id, one.source) for one in self._entries if one.source}
        if entry is not None and (entry.incident_id, entry.source) not in known:
            self._entries.append(entry)

    def tie(self, incident_id: str, events: Sequence[str]) -> None:
        """Tie events; ``recount`` says so afterwards."""
        with LOCK:
            self._tied.setdefault(incident_id, set()).update(one.lower() for one in events)

    def recount(
        self, incident_id: str, told: Entry, *, scope: dict[str, tuple[str, ...]], now: datetime
    ) -> None:
        """What ``store.incidents.recount`` does."""
        with LOCK:
            incident = msgspec.structs.replace(self.get(incident_id), scope=scope, updated_at=now)
            self._store(Change(incident, (told,)), now=now)
        self._announce()

    def wake(self) -> None:
        """Wake whoever waits for a change."""
        self._announce()

    def _check(self, change: Change) -> None:
        check_event_ids(change)
        unknown = [one for one in change.add_events if not self._known(one)]
        if unknown:
            raise InvalidInput(f"event_ids: there is no event {', '.join(unknown[:10])}")
        for one in change.keep:
            self._followups.check(one)

    def _store(self, change: Change, *, now: datetime) -> Incident:
        incident = change.incident
        if not change.entries:
            return incident
        tied = self._tied.setdefault(incident.id, set())
        tied -= {one.lower() for one in change.remove_events}
        tied |= {one.lower() for one in change.add_events}
        number = incident.number or len(self._incidents) + 1
        incident = msgspec.structs.replace(
            incident, number=number, version=incident.version + 1, event_count=len(tied)
        )
        # As a database gives it back: nothing of the caller's is shared.
        incident = msgspec.json.decode(record_of(incident), type=Incident)
        entries = [msgspec.json.decode(record_of(one), type=Entry) for one in change.entries]
        self._incidents[incident.id] = incident
        self._entries += entries
        self._tell(of_incident(incident, change.entries, now=now))
        for followup in change.keep:
            self._followups.keep(followup)
        self._add_leaf(incident_leaf(incident, change.entries, now=now), now=now)
        return incident

    def _pinned(self, entry: Entry) -> bool:
        marks = [
            one for one in self._entries if one.about == entry.id and one.kind in ("pin", "unpin")
        ]
        return bool(marks) and max(marks, key=_recorded).kind == "pin"

    def _annotations(self, entry: Entry) -> tuple[Entry, ...]:
        said = (one for one in self._entries if one.about == entry.id and one.kind == "annotation")
        return tuple(sorted(said, key=_recorded))

    def _owed(self) -> list[OwedObligation]:
        return [
            OwedObligation(one, obligation)
            for one in self._incidents.values()
            for obligation in one.obligations
        ]


def _recorded(entry: Entry) -> tuple[datetime, str]:
    return entry.recorded_at, entry.id


def _due(one: OwedObligation) -> tuple[datetime, str]:
    return one.obligation.due_at or NEVER, one.obligation.id


def _is(incident: Incident, where: IncidentFilter) -> bool:
    if where.viewer and visibility_of(incident) == "hidden" and not may_see(incident, where.viewer):
        return False
    if where.waived and not incident.waivers:
        return False
    if where.state == "open":
        if incident.state in ENDED:
            return False
    elif where.state and incident.state != where.state:
        return False
    return not where.severity or (incident.severity or "unset") == where.severity


def _as_keeper(incident: Incident) -> Keeper:
    return Keeper(f"incident:{incident.id}", f"INC-{incident.number:06}")
