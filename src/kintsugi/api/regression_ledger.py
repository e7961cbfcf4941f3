"""``/v1/regressions/ledger`` and ``/v1/regressions/coverage``: which cases bind for ever, what ever
changed in that, and whether the configurations in force meet them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from fastapi import Query
from pydantic import Field
from starlette.responses import Response

from kintsugi.api.answers import One, Page, one, part
from kintsugi.api.bound_cases import Breach, breaches
from kintsugi.api.control import Ctl
from kintsugi.api.event_query import PageQuery
from kintsugi.api.loosened import loosened_now
from kintsugi.api.permissions import Scope
from kintsugi.api.proving import Bench
from kintsugi.api.routing import Routes
from kintsugi.api.sight import seen_among
from kintsugi.incidents.severity import duties_of
from kintsugi.ledger.regression_copy import FILE as LEDGER_COPY
from kintsugi.ledger.regression_copy import foreign_entries
from kintsugi.model.incident import Incident, IncidentFilter, Waiver
from kintsugi.model.regression_ledger import BoundFilter, LedgerEntry, LedgerFilter
from kintsugi.model.signal import Severity
from kintsugi.model.stores import Stores

routes = Routes("regressions")

_BESIDE_MAX = 100

# ``covered``: every case that binds holds. ``broken``: one does not. ``loosened``: one does not in
# the scope of a containment. Where nothing binds: ``relaxed``, it was closed with a waiver;
# ``lowered``, its severity asked for a proof once; ``not_asked``, it never did; ``uncovered``, none
# of these.
CoverageState = Literal[
    "covered", "broken", "loosened", "relaxed", "lowered", "uncovered", "not_asked"
]


class LedgerQuery(PageQuery):
    """Which entries."""

    regression: Annotated[str, Field(max_length=20)] = ""
    incident: Annotated[str, Field(max_length=64, description="Its id or reference.")] = ""
    config: Annotated[str, Field(max_length=200)] = ""


class LedgerCheck(msgspec.Struct, frozen=True):
    """The ledger, and the proofs that it rests on, beside the log.

    Attributes:
        entries: how many there are.
        findings: what is not as the log tells, and what somebody wrote into the copy outside the
            database; a hundred of each at most.
    """

    entries: int
    findings: tuple[str, ...]


class BoundView(msgspec.Struct, frozen=True):
    """A case that binds.

    Attributes:
        breach: why the version in force does not meet it; null where it does.
        loosened_by: ids of the containments in whose scope it does not hold now.
    """

    regression_id: str
    version: int
    case_kind: str
    config_id: str
    in_force: str
    proof_id: str
    breach: Breach | None
    loosened_by: tuple[str, ...] = ()


class CoverageView(msgspec.Struct, frozen=True):
    """A closed incident, and what keeps it from coming back.

    Attributes:
        waiver: who answers for the learning gate, where nothing binds.
        severest: the highest severity that it was ever given.
        lowered_by: who gave it the one that counts, where it was higher before.
    """

    incident_id: str
    reference: str
    title: str
    severity: Severity | None
    state: CoverageState
    cases: tuple[BoundView, ...]
    waiver: Waiver | None
    severest: Severity | None = None
    lowered_by: str = ""


@routes.add(
    "GET",
    "/v1/regressions/ledger",
    Scope.REGRESSIONS_READ,
    answer=Page[LedgerEntry],
    parameters=True,
)
def list_ledger(control: Ctl, query: Annotated[LedgerQuery, Query()]) -> Response:
    """Entries, newest first; none is ever changed or removed. ``meta.total`` counts what this page
    shows."""
    incidents: tuple[str, ...] = ()
    if query.incident:
        found = control.stores.incidents.get(query.incident)
        incidents = tuple(control.stores.incidents.family(found.id))
    where = LedgerFilter(query.regression, incidents, query.config)
    entries, cursor = control.stores.ledger.page(
        where, limit=max(query.limit, 1), cursor=query.cursor
    )
    return part(entries, cursor)


@routes.add("GET", "/v1/regressions/ledger/check", Scope.REGRESSIONS_READ, answer=One[LedgerCheck])
def check_ledger(control: Ctl) -> Response:
    """Hold every entry and every proof against its leaf in the log, every such leaf against them,
    and what is remembered of the ledger outside the database against both."""
    ledger = control.all_stores.ledger
    beside = foreign_entries(ledger, control.state_dir / LEDGER_COPY)
    proofs = control.all_stores.proofs.check()
    return one(LedgerCheck(ledger.mark(), (*ledger.check(), *proofs, *beside[:_BESIDE_MAX])))


@routes.add(
    "GET",
    "/v1/regressions/coverage",
    Scope.REGRESSIONS_READ,
    answer=Page[CoverageView],
    parameters=True,
)
def list_coverage(control: Ctl, query: Annotated[PageQuery, Query()]) -> Response:
    """Closed incidents, newest first, each with the cases that bind and whether the newest version
    of their configuration meets them. ``meta.total`` counts what this page shows."""
    found, cursor = control.stores.incidents.page(
        IncidentFilter("closed"), limit=max(query.limit, 1), cursor=query.cursor
    )
    incidents = seen_among(control.stores, [each.id for each in found])
    views = coverage(control.stores, incidents, now=control.clock())
    return part(views, cursor)


def coverage(stores: Stores, incidents: list[Incident], *, now: datetime) -> list[CoverageView]:
    """How each of these is covered; every configuration is compiled once."""
    families = {incident.id: stores.incidents.family(incident.id) for incident in incidents}
    wanted = tuple(each for family in families.values() for each in family)
    bound = stores.ledger.bound(BoundFilter(incidents=wanted)) if wanted else []
    broken, in_force = _tried(stores, bound)
    loosened = loosened_now(stores, bound, now=now) if bound else {}
    return [
        _view(
            incident,
            [one for one in bound if one.incident_id in families[incident.id]],
            broken,
            in_force,
            loosened,
        )
        for incident in incidents
    ]


def _tried(stores: Stores, bound: list[LedgerEntry]) -> tuple[dict[str, Breach], dict[str, str]]:
    """What does not hold, by case; and the version in force, by configuration."""
    broken: dict[str, Breach] = {}
    in_force = {}
    bench = Bench(stores)
    for config_id in sorted({each.config_id for each in bound}):
        judge = bench.newest(config_id)
        in_force[config_id] = judge.name
        entries = [each for each in bound if each.config_id == config_id]
        broken |= {each.regression_id: each for each in breaches(stores, judge, entries)}
    return broken, in_force


def _view(
    incident: Incident,
    bound: list[LedgerEntry],
    broken: dict[str, Breach],
    in_force: dict[str, str],
    loosened: dict[str, tuple[str, ...]],
) -> CoverageView:
    cases = tuple(
        BoundView(
            one.regression_id,
            one.version,
            one.case_kind,
            one.config_id,
            in_force[one.config_id],
            one.proof_id,
            broken.get(one.regression_id),
            loosened.get(one.regression_id, ()),
        )
        for one in bound
    )
    waiver = next((one for one in reversed(incident.waivers) if one.gate == "learning"), None)
    return CoverageView(
        incident.id,
        incident.reference,
        incident.title,
        incident.severity,
        _state(incident, cases, waiver),
        cases,
        None if cases else waiver,
        incident.severest,
        _lowered_by(incident),
    )


def _lowered_by(incident: Incident) -> str:
    if incident.severest in (None, incident.severity):
        return ""
    given = incident.override or incident.assessment
    return given.by if given is not None else ""


def _state(
    incident: Incident, cases: tuple[BoundView, ...], waiver: Waiver | None
) -> CoverageState:
    if any(one.breach for one in cases):
        return "broken"
    if any(one.loosened_by for one in cases):
        return "loosened"
    if any(one.case_kind == "case" for one in cases):
        return "covered"
    if waiver is not None:
        return "relaxed"
    if "learning" in duties_of(incident.severity).gates:
        return "uncovered"
    once = incident.severest or incident.severity
    return "lowered" if "learning" in duties_of(once).gates else "not_asked"
