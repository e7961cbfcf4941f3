"""What of the incidents a caller may see.

Handlers get stores through :func:`seen_by`, so a restricted incident stays restricted on every
route that reads it, also on those that are written later: there is no way round but another id.
A handler that finds something of an incident by an id of its own asks for the incident as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, cast

import msgspec

from kintsugi.api.sight_regressions import SeenRegressions
from kintsugi.errors import Forbidden, NotFound
from kintsugi.model.custody import CustodyEntry
from kintsugi.model.event import DecisionEvent, Payload
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.events import EventPage, EventStore, StoredEvent
from kintsugi.model.followup import Followup, FollowupFilter, FollowupOrder, FollowupStore
from kintsugi.model.incident import (
    Change,
    Decide,
    Entry,
    Incident,
    IncidentFilter,
    IncidentStore,
    OwedObligation,
    TimelineEntry,
    TimelineOrder,
    new_id,
)
from kintsugi.model.incident_access import may_see as has_sight
from kintsugi.model.incident_access import veiled, visibility_of
from kintsugi.model.proof import Proof, ProofFilter, ProofStore
from kintsugi.model.regression import RegressionStore
from kintsugi.model.regression_ledger import (
    Binding,
    LedgerEntry,
    LedgerFilter,
    RegressionLedger,
)
from kintsugi.model.report import KeptReport, ReportFilter, ReportStore
from kintsugi.model.stores import Stores

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def seen_by(stores: Stores, name: str) -> Stores:
    """The stores as a person sees them who has no permission to see every incident."""
    incidents = SeenIncidents(stores.incidents, name)
    return msgspec.structs.replace(
        stores,
        incidents=incidents,
        events=cast("EventStore", SeenEvents(stores.events, incidents)),
        followups=SeenFollowups(stores.followups, incidents),
        reports=cast("ReportStore", SeenReports(stores.reports, incidents, name)),
        proofs=SeenProofs(stores.proofs, incidents),
        ledger=cast("RegressionLedger", SeenLedger(stores.ledger, incidents)),
        regressions=cast("RegressionStore", SeenRegressions(stores.regressions, incidents, name)),
    )


def sees_all(stores: Stores) -> bool:
    """Whether these stores show every incident."""
    return not isinstance(stores.incidents, SeenIncidents)


def require_sight(stores: Stores, where: EventFilter) -> None:
    """Refuse a filter that names an incident which these stores do not show.

    Raises:
        NotFound, Forbidden: as ``SeenIncidents.get`` does.
    """
    if where.incident and not sees_all(stores):
        stores.incidents.get(where.incident)


def may_read(stores: Stores, where: EventFilter) -> bool:
    """Whether these stores show the incident that a filter names."""
    try:
        require_sight(stores, where)
    except (NotFound, Forbidden):
        return False
    return True


def may_see(stores: Stores, subject: str) -> bool:
    """Whether what custody or a notice is about is for the caller: not a restricted incident, nor
    a hold or a file about one.

    Args:
        subject: ``incident:KEY``, ``hold:ID``, ``export:ID``; anything else is for all.
    """
    kind, _, key = subject.partition(":")
    if sees_all(stores):
        return True
    try:
        match kind:
            case "incident":
                return may_read(stores, EventFilter(incident=key))
            case "hold":
                return may_read(stores, stores.holds.get(key).where)
            case "export" | "package":
                return may_read(stores, stores.exports.get(key).where)
    except NotFound:
        pass  # nothing is known of it that could be restricted
    return True


def reference_for(stores: Stores, key: str) -> str:
    """An incident that something else names; empty where these stores do not show it."""
    return key if may_read(stores, EventFilter(incident=key)) else ""


def seen_among(stores: Stores, keys: Iterable[str]) -> list[Incident]:
    """Those of these incidents that are for the caller to see."""
    return [stores.incidents.get(key) for key in keys if reference_for(stores, key)]


class SeenIncidents:
    """An incident store in front of the real one.

    Of an incident that shows its reference only, lists tell that it exists and everything else is
    refused; a hidden one is not there.
    """

    def __init__(self, incidents: IncidentStore, viewer: str) -> None:
        self._incidents = incidents
        self._viewer = viewer

    def change(
        self,
        keys: Sequence[str],
        decide: Decide,
        *,
        now: datetime,
        expected_version: int | None = None,
    ) -> tuple[Incident, ...]:
        for key in keys:  # before the version is compared, which would tell that it is there
            self._require(self._incidents.get(key), key)

        def decide_seen(before: tuple[Incident, ...]) -> tuple[Change, ...]:
            for key, incident in zip(keys, before, strict=True):
                self._require(incident, key)
            seen = {incident.id for incident in before}
            return tuple(
                self._kept_in_sight(change, now=now) if change.incident.id in seen else change
                for change in decide(before)
            )

        stored = self._incidents.change(
            keys, decide_seen, now=now, expected_version=expected_version
        )
        return tuple(self._without_unseen(stored))

    def get(self, key: str) -> Incident:
        incident = self._incidents.get(key)
        self._require(incident, key)
        return next(self._without_unseen([incident]))

    def page(
        self, where: IncidentFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[Incident], str | None]:
        found, cursor = self._incidents.page(self._narrowed(where), limit=limit, cursor=cursor)
        return [*self._without_unseen(map(self._veiled, found))], cursor

    def count(self, where: IncidentFilter, *, ceiling: int) -> int:
        return self._incidents.count(self._narrowed(where), ceiling=ceiling)

    def timeline(
        self,
        incident_id: str,
        *,
        order: TimelineOrder,
        pinned_only: bool,
        limit: int,
        cursor: str | None = None,
    ) -> tuple[list[TimelineEntry], str | None]:
        self.get(incident_id)
        shown, cursor = self._incidents.timeline(
            incident_id, order=order, pinned_only=pinned_only, limit=limit, cursor=cursor
        )
        unseen = self._unseen(_named_in(one.entry for one in shown))
        return [
            msgspec.structs.replace(one, entry=_told(one.entry, unseen)) for one in shown
        ], cursor

    def entry(self, incident_id: str, entry_id: str) -> Entry:
        self.get(incident_id)
        found = self._incidents.entry(incident_id, entry_id)
        return _told(found, self._unseen(_named_in([found])))

    def incidents_of(self, event_id: str) -> list[Incident]:
        found = [
            self._veiled(one)
            for one in self._incidents.incidents_of(event_id)
            if has_sight(one, self._viewer) or visibility_of(one) != "hidden"
        ]
        return [*self._without_unseen(found)]

    def obligations(
        self,
        *,
        terminal: bool | None,
        limit: int,
        cursor: str | None = None,
        viewer: str | None = None,  # noqa: ARG002 - always the one whose sight this is
    ) -> tuple[list[OwedObligation], str | None]:
        return self._incidents.obligations(
            terminal=terminal, limit=limit, cursor=cursor, viewer=self._viewer
        )

    def obligation(self, obligation_id: str) -> OwedObligation:
        owed = self._incidents.obligation(obligation_id)
        if not has_sight(owed.incident, self._viewer):
            raise NotFound(f'there is no obligation "{obligation_id}"')
        return owed

    def sharing(self, terms: Sequence[str], *, besides: str) -> list[tuple[str, str]]:
        # Ids alone; whoever shows them asks for the incidents.
        return self._incidents.sharing(terms, besides=besides)

    def family(self, incident_id: str) -> list[str]:
        # Ids alone, as above.
        return self._incidents.family(incident_id)

    def restricted(self, ids: Sequence[str], *, viewer: str) -> frozenset[str]:
        return self._incidents.restricted(ids, viewer=viewer)

    def require_event(self, event_id: str) -> None:
        """Refuse an event that belongs to restricted incidents only.

        Raises:
            Forbidden: none of its incidents is to be seen.
        """
        found = self._incidents.incidents_of(event_id)
        if found and not any(has_sight(one, self._viewer) for one in found):
            raise Forbidden(
                "This event belongs to an incident that is restricted to those who work on it."
            )

    def any_seen(self, ids: Sequence[str]) -> bool:
        """Whether one of these incidents is for the viewer to see."""
        return len(self._unseen(ids)) < len(ids)

    def _require(self, incident: Incident, key: str) -> None:
        if has_sight(incident, self._viewer):
            return
        if visibility_of(incident) == "hidden":
            raise NotFound(f'there is no incident "{key}"')
        whom = " or ".join((*incident.holders("commander"), "an administrator"))
        raise Forbidden(
            f"{incident.reference} is restricted to those who work on it; ask {whom} to grant "
            "you sight of it."
        )

    def _narrowed(self, where: IncidentFilter) -> IncidentFilter:
        return msgspec.structs.replace(where, viewer=self._viewer)

    def _veiled(self, incident: Incident) -> Incident:
        return incident if has_sight(incident, self._viewer) else veiled(incident)

    def _kept_in_sight(self, change: Change, *, now: datetime) -> Change:
        """Whoever assesses an incident, and so restricts it, does not lose it by that."""
        incident = change.incident
        if has_sight(incident, self._viewer) or not any(
            one.kind in ("severity", "category") for one in change.entries
        ):
            return change
        told = Entry(
            id=new_id(now),
            incident_id=incident.id,
            at=now,
            recorded_at=now,
            actor=change.entries[-1].actor,
            kind="access",
            text=f"{self._viewer} may see it, having restricted it",
            detail={"person": self._viewer},
        )
        kept = msgspec.structs.replace(incident, people=(*incident.people, self._viewer))
        return msgspec.structs.replace(change, incident=kept, entries=(*change.entries, told))

    def _without_unseen(self, incidents: Iterable[Incident]) -> Iterator[Incident]:
        """The same incidents with no link to one that is not seen."""
        found = list(incidents)
        named = {link.incident_id for one in found for link in one.links}
        unseen = self._unseen(named | {one.merged_into for one in found if one.merged_into})
        for one in found:
            yield msgspec.structs.replace(
                one,
                links=tuple(link for link in one.links if link.incident_id not in unseen),
                merged_into="" if one.merged_into in unseen else one.merged_into,
            )

    def _unseen(self, ids: Iterable[str]) -> frozenset[str]:
        wanted = sorted(ids)
        if not wanted:
            return frozenset()
        return self._incidents.restricted(wanted, viewer=self._viewer)


class SeenEvents:
    """An event store that answers for no incident which the caller does not see.

    Only what can name an incident, or shows what was recorded, differs from the store behind it.
    """

    def __init__(self, events: EventStore, incidents: SeenIncidents) -> None:
        self._events = events
        self._incidents = incidents

    def __getattr__(self, name: str) -> Any:
        return getattr(self._events, name)

    def page(self, where: EventFilter, *, limit: int, cursor: str | None = None) -> EventPage:
        self._require(where)
        return self._events.page(where, limit=limit, cursor=cursor)

    def count(self, where: EventFilter, *, ceiling: int) -> int:
        self._require(where)
        return self._events.count(where, ceiling=ceiling)

    def tail(self, *, after: int, where: EventFilter, limit: int) -> list[StoredEvent]:
        self._require(where)
        return self._events.tail(after=after, where=where, limit=limit)

    def scan(self, where: EventFilter, *, payload: bool) -> Iterator[DecisionEvent]:
        self._require(where)
        return self._events.scan(where, payload=payload)

    def reveal(self, event_id: str, entry: CustodyEntry) -> Payload:
        """What was recorded; of an event that belongs to incidents, to those who see one of them.

        Raises:
            Forbidden: it belongs to restricted incidents only.
        """
        self._incidents.require_event(event_id)
        return self._events.reveal(event_id, entry)

    def _require(self, where: EventFilter) -> None:
        if where.incident:
            self._incidents.get(where.incident)


class SeenFollowups:
    """What follows from incidents, of which the caller sees at least one."""

    def __init__(self, followups: FollowupStore, incidents: SeenIncidents) -> None:
        self._followups = followups
        self._incidents = incidents

    def get(self, followup_id: str) -> Followup:
        found = self._followups.get(followup_id)
        if not self._incidents.any_seen(found.incidents):
            raise NotFound(f'there is nothing with the id "{followup_id}"')
        return found

    def page(
        self,
        where: FollowupFilter,
        *,
        order: FollowupOrder,
        limit: int,
        cursor: str | None = None,
    ) -> tuple[list[Followup], str | None]:
        found, cursor = self._followups.page(where, order=order, limit=limit, cursor=cursor)
        return [one for one in found if self._incidents.any_seen(one.incidents)], cursor


class SeenReports:
    """Reports without those that a restricted incident has; whoever sent one sees it all the
    same."""

    def __init__(self, reports: ReportStore, incidents: SeenIncidents, viewer: str) -> None:
        self._reports = reports
        self._incidents = incidents
        self._viewer = viewer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reports, name)

    def get(self, report_id: str) -> KeptReport:
        found = self._reports.get(report_id)
        if not self._seen([found]):
            raise NotFound(f'there is no report "{report_id}"')
        return found

    def page(
        self, where: ReportFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[KeptReport], str | None]:
        found, cursor = self._reports.page(where, limit=limit, cursor=cursor)
        return self._seen(found), cursor

    def _seen(self, found: Sequence[KeptReport]) -> list[KeptReport]:
        ids = sorted({one.standing.incident_id for one in found} - {""})
        unseen = self._incidents.restricted(ids, viewer=self._viewer) if ids else frozenset()
        return [
            one
            for one in found
            if one.standing.incident_id not in unseen
            or one.report.sender.rpartition("/")[0] == self._viewer
        ]


class SeenProofs:
    """Proofs, without those of incidents that the caller does not see."""

    def __init__(self, proofs: ProofStore, incidents: SeenIncidents) -> None:
        self._proofs = proofs
        self._incidents = incidents

    def add(self, proof: Proof, binding: Binding | None = None) -> Proof:
        return self._proofs.add(proof, binding)

    def get(self, proof_id: str) -> Proof:
        found = self._proofs.get(proof_id)
        if not self._incidents.any_seen([found.incident_id]):
            raise NotFound(f'there is no proof "{proof_id}"')
        return found

    def page(
        self, where: ProofFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[Proof], str | None]:
        found, cursor = self._proofs.page(where, limit=limit, cursor=cursor)
        return [one for one in found if self._incidents.any_seen([one.incident_id])], cursor


class SeenLedger:
    """The regression ledger, whose pages leave out incidents that the caller does not see. What
    binds, binds whoever asks."""

    def __init__(self, ledger: RegressionLedger, incidents: SeenIncidents) -> None:
        self._ledger = ledger
        self._incidents = incidents

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def page(
        self, where: LedgerFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[LedgerEntry], str | None]:
        found, cursor = self._ledger.page(where, limit=limit, cursor=cursor)
        return [one for one in found if self._incidents.any_seen([one.incident_id])], cursor


def _named_in(entries: Iterable[Entry]) -> set[str]:
    """Ids that entries name for programs; of incidents, events and whatever else."""
    return {
        value
        for entry in entries
        for value in entry.detail.values()
        if isinstance(value, str) and _ID.fullmatch(value)
    }


def _told(entry: Entry, unseen: frozenset[str]) -> Entry:
    """An entry as those may read it who do not see some of the incidents that it names."""
    if not unseen or not unseen & _named_in([entry]):
        return entry
    return msgspec.structs.replace(
        entry, text="about an incident that is restricted", reason="", detail={}
    )
