"""``/v1/incidents/{id}/records`` and ``/people``: what an incident affected, up to its end."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import Meta, Page, reply, whole
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.incidents import Doing, IncidentKey
from kintsugi.api.permissions import Scope
from kintsugi.api.routing import Routes
from kintsugi.errors import InvalidInput
from kintsugi.incidents.repair import added, settling_of
from kintsugi.model.affected import Affected, AffectedKind, AffectedStatus

routes = Routes("incidents")

_LIMIT_MAX = 1_000
_PEOPLE: tuple[AffectedKind, ...] = ("team", "tenant", "user")
_COLUMNS = (
    *("kind", "key", "status", "channel", "settled_at", "settled_by", "why", "evidence"),
    *("found_in", "found_at", "found_by"),
)

Key = Annotated[str, Field(min_length=1, max_length=500)]
Keys = Annotated[list[Key], Field(min_length=1, max_length=1_000)]


class AffectedQuery(BaseModel):
    """Which of them, by name; the cursor is what the page before gave."""

    model_config = ConfigDict(extra="forbid")

    status: AffectedStatus | Literal[""] = ""
    limit: Annotated[int, Field(ge=1, le=_LIMIT_MAX)] = 100
    cursor: Annotated[str | None, Field(max_length=600)] = None


class NewRecord(BaseModel):
    """A record that was written wrongly, and the system that it is in."""

    model_config = ConfigDict(extra="forbid")

    key: Key
    system: Annotated[str, Field(max_length=300)] = ""


class NewRecords(Doing):
    """Records that a person names."""

    records: Annotated[list[NewRecord], Field(min_length=1, max_length=1_000)]


class Repair(Doing):
    """What became of records: corrected, with what shows it; or accepted or unrecoverable, with
    the reason; or open again."""

    keys: Keys
    status: Literal["open", "corrected", "accepted", "unrecoverable"]
    evidence: Annotated[str, Field(max_length=1_000)] = ""


class NewPerson(BaseModel):
    """A user, team or tenant, and how they are reached where that is known."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["user", "team", "tenant"] = "user"
    key: Key
    channel: Annotated[str, Field(max_length=300)] = ""


class NewPeople(Doing):
    """People who may have to be told."""

    people: Annotated[list[NewPerson], Field(min_length=1, max_length=1_000)]


class Telling(Doing):
    """That people were told, and how; or why they need not be."""

    kind: Literal["user", "team", "tenant"] = "user"
    keys: Keys
    status: Literal["to_tell", "told", "not_needed"] = "told"
    channel: Annotated[str | None, Field(max_length=300)] = None
    evidence: Annotated[str, Field(max_length=1_000)] = ""


@routes.add(
    "GET",
    "/v1/incidents/{incident_id}/records",
    Scope.INCIDENTS_READ,
    answer=Page[Affected],
    parameters=True,
)
def list_affected_records(
    control: Ctl, incident_id: IncidentKey, query: Annotated[AffectedQuery, Query()]
) -> Response:
    """The repair ledger: records that were affected, and what became of each."""
    return _page(control, incident_id, ("record",), query)


@routes.add(
    "POST",
    "/v1/incidents/{incident_id}/records",
    Scope.INCIDENTS_RESPOND,
    answer=Page[Affected],
)
def add_affected_records(
    control: Ctl, caller: Caller, incident_id: IncidentKey, given: NewRecords
) -> Response:
    """Add records that were affected; those that are known stay as they are."""
    found: list[tuple[AffectedKind, str, str, str]] = [
        ("record", one.key, one.system, "") for one in given.records
    ]
    return _add(control, incident_id, found, given, caller)


@routes.add(
    "POST",
    "/v1/incidents/{incident_id}/records/settle",
    Scope.INCIDENTS_RESPOND,
    answer=Page[Affected],
)
def settle_affected_records(
    control: Ctl, caller: Caller, incident_id: IncidentKey, repair: Repair
) -> Response:
    """Say what became of records, all of them or none."""
    act = repair.act(control, caller)
    incident = control.stores.incidents.get(incident_id)
    settling, told = settling_of(
        incident, "record", repair.keys, repair.status, act, evidence=repair.evidence
    )
    return whole(
        control.stores.affected.settle(incident.id, "record", repair.keys, settling, told=told)
    )


@routes.add(
    "GET",
    "/v1/incidents/{incident_id}/people",
    Scope.INCIDENTS_READ,
    answer=Page[Affected],
    parameters=True,
)
def list_affected_people(
    control: Ctl, incident_id: IncidentKey, query: Annotated[AffectedQuery, Query()]
) -> Response:
    """Users, teams and tenants who may have to be told, how they are reached, and who told them
    when."""
    return _page(control, incident_id, _PEOPLE, query)


@routes.add(
    "GET",
    "/v1/incidents/{incident_id}/people.csv",
    Scope.INCIDENTS_READ,
    media_types=("text/csv",),
)
def export_affected_people(control: Ctl, incident_id: IncidentKey) -> Response:
    """All of them as a table, for whoever sends the letters."""
    incident = control.stores.incidents.get(incident_id)
    written = io.StringIO()
    table = csv.writer(written)
    table.writerow(_COLUMNS)
    for one in _all(control, incident.id):
        table.writerow([_cell(getattr(one, column)) for column in _COLUMNS])
    return Response(written.getvalue(), media_type="text/csv; charset=utf-8")


@routes.add(
    "POST",
    "/v1/incidents/{incident_id}/people",
    Scope.INCIDENTS_RESPOND,
    answer=Page[Affected],
)
def add_affected_people(
    control: Ctl, caller: Caller, incident_id: IncidentKey, given: NewPeople
) -> Response:
    """Add people who may have to be told; those that are known stay as they are."""
    found: list[tuple[AffectedKind, str, str, str]] = [
        (one.kind, one.key, "", one.channel) for one in given.people
    ]
    return _add(control, incident_id, found, given, caller)


@routes.add(
    "POST",
    "/v1/incidents/{incident_id}/people/settle",
    Scope.INCIDENTS_RESPOND,
    answer=Page[Affected],
)
def settle_affected_people(
    control: Ctl, caller: Caller, incident_id: IncidentKey, telling: Telling
) -> Response:
    """Say that people were told, all of them or none. Kintsugi does not write to them itself."""
    act = telling.act(control, caller)
    incident = control.stores.incidents.get(incident_id)
    settling, told = settling_of(
        incident,
        telling.kind,
        telling.keys,
        telling.status,
        act,
        evidence=telling.evidence,
        channel=telling.channel,
    )
    return whole(
        control.stores.affected.settle(incident.id, telling.kind, telling.keys, settling, told=told)
    )


def _page(
    control: Control, incident_id: str, kinds: tuple[AffectedKind, ...], query: AffectedQuery
) -> Response:
    incident = control.stores.incidents.get(incident_id)
    after = None
    if query.cursor is not None:
        kind, separator, key = query.cursor.partition(":")
        if not separator:
            raise InvalidInput("the cursor is not one that this server gave out")
        after = kind, key
    found = control.stores.affected.page(
        incident.id, kinds, status=query.status, limit=query.limit + 1, after=after
    )
    shown = found[: query.limit]
    more = len(found) > query.limit
    counts = control.stores.affected.counts(incident.id)
    total = sum(
        number
        for (kind, status), number in counts.items()
        if kind in kinds and query.status in ("", status)
    )
    cursor = f"{shown[-1].kind}:{shown[-1].key}" if more else None
    return reply(Page(shown, Meta(total, next_cursor=cursor)))


def _add(
    control: Control,
    incident_id: str,
    found: list[tuple[AffectedKind, str, str, str]],
    doing: Doing,
    caller: Caller,
) -> Response:
    act = doing.act(control, caller)
    incident = control.stores.incidents.get(incident_id)
    kept, told = added(incident, found, act)
    control.stores.affected.add(kept, told=told, now=act.now)
    return whole(kept)


def _all(control: Control, incident_id: str) -> Iterator[Affected]:
    after: tuple[str, str] | None = None
    while found := control.stores.affected.page(
        incident_id, _PEOPLE, status="", limit=_LIMIT_MAX, after=after
    ):
        yield from found
        after = found[-1].kind, found[-1].key


def _cell(value: object) -> str:
    """A cell that no spreadsheet takes for a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
