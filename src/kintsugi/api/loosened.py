"""What containments let through of what closed incidents left behind.

A publish that breaks a case is refused; a containment that loosens control is not, because it has
an owner and an end. What it breaks is told all the same: when it is asked for, and while it is in
force.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from kintsugi.api.bound_cases import Breach, binds, breaches
from kintsugi.api.pins import with_content
from kintsugi.api.proving import judge_of
from kintsugi.errors import NotFound
from kintsugi.model.configurations import ConfigurationVersion
from kintsugi.model.containment import BrokenCases, Containment
from kintsugi.model.regression_ledger import BoundFilter, LedgerEntry
from kintsugi.model.stores import Stores

_IN_FORCE_MAX: Final = 1000
_NAMED_MAX: Final = 100


class Loosened(NamedTuple):
    """A containment over the newest version of one configuration, and what binds that.

    Attributes:
        containment: with what it pins.
    """

    containment: Containment
    newest: ConfigurationVersion
    entries: list[LedgerEntry]


def may_loosen(containment: Containment) -> bool:
    """Whether it may let through what the configuration in force would stop. A version that was
    as strict when it was pinned may be weaker than what was published since."""
    return containment.lever.loosens or containment.lever.name == "pin-policy"


def in_force(stores: Stores, *, now: datetime) -> list[Containment]:
    """Those that may loosen."""
    return [
        one for one in stores.containments.in_force(now=now, limit=_IN_FORCE_MAX) if may_loosen(one)
    ]


def loosened_by(
    stores: Stores, containments: Sequence[Containment], bound: Sequence[LedgerEntry]
) -> Iterator[Loosened]:
    """Each configuration that each may loosen, of those that any of these entries binds."""
    if not containments:
        return
    following: dict[str, set[str]] = {}
    for record in stores.gateways.list():
        following.setdefault(record.report.config_id, set()).add(record.report.id)
    bound_by = [
        (newest, [one for one in bound if binds(one, newest.id, following.get(newest.id, ()))])
        for newest in stores.configurations.list()
    ]
    for containment in containments:
        pins = containment.lever.config_version.rpartition("@")[0]
        for newest, entries in bound_by:
            if entries and pins in ("", newest.id):
                yield Loosened(_full(stores, containment), newest, entries)


def _full(stores: Stores, containment: Containment) -> Containment:
    try:
        return with_content(stores, containment)
    except NotFound:  # what it pins was taken out of the database; no gateway can be given it
        return containment


def let_through(stores: Stores, one: Loosened) -> list[Breach]:
    """Cases that the newest version meets, and does not meet under the containment."""
    judge = judge_of(one.newest)
    broken = {found.regression_id for found in breaches(stores, judge, one.entries)}
    held = [entry for entry in one.entries if entry.regression_id not in broken]
    return breaches(stores, judge, held, under=[one.containment])


def broken_by(stores: Stores, containment: Containment) -> BrokenCases | None:
    """What would not hold in its scope; None where all would."""
    bound = stores.ledger.bound(BoundFilter())
    names = sorted(
        {
            found.regression_id
            for one in loosened_by(stores, [containment], bound)
            for found in let_through(stores, one)
        }
    )
    return BrokenCases(len(names), tuple(names[:_NAMED_MAX])) if names else None


def loosened_now(
    stores: Stores, bound: Sequence[LedgerEntry], *, now: datetime
) -> dict[str, tuple[str, ...]]:
    """The containments in force in whose scope a case does not hold, by the id of the case."""
    by_case: dict[str, tuple[str, ...]] = {}
    for one in loosened_by(stores, in_force(stores, now=now), bound):
        for found in let_through(stores, one):
            ids = by_case.get(found.regression_id, ())
            by_case[found.regression_id] = (*ids, one.containment.id)
    return by_case
