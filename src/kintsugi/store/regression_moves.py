"""What both stores of cases ask in the transaction of a change: whether a case is new, and what the
change of one that binds comes to in the regression ledger. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple, NoReturn

from kintsugi.errors import Blocked, StateConflict
from kintsugi.model.blocker import Blocker
from kintsugi.model.incident import new_id
from kintsugi.model.regression import Regression
from kintsugi.model.regression_ledger import LedgerAct, LedgerEntry
from kintsugi.model.strength import weakened

_LOCKED: Final = ("incident_id", "config_id", "kind")
_REPLACE: Final = (
    "propose what shall stand in, have it approved, prove it, then replace this one with it"
)
_LOST: Final = "what is kept here is not what was bound, so nobody can tell what would be weaker"
_REPLACE_LOST: Final = (
    "bring back a newer backup; or have another case approved, then: kt regressions replace"
)


class StandsIn(NamedTuple):
    """The case that a tombstone names.

    Attributes:
        entry: how it stands in the ledger; None where it never bound.
        case: as it is kept.
    """

    entry: LedgerEntry | None
    case: Regression


def refuse_known(same: Regression) -> NoReturn:
    """Refuse to keep a case that is there already.

    Raises:
        StateConflict: always.
    """
    raise StateConflict(f"{same.id} is this case already; it is {same.state}")


def entries_after(
    bound: LedgerEntry, before: Regression, after: Regression, stands_in: StandsIn | None
) -> tuple[LedgerEntry, ...]:
    """The entries that tell of the change of a case that binds; none where what binds stays.

    Where what is kept of it is not what was bound, it went with another database. Then it can only
    become that again, or be replaced, and what stands in binds from now on.

    Raises:
        Blocked: the change would weaken it, or take it away without a proven one in its place.
    """
    is_lost = bool(before.lost) or before.digest != bound.digest
    if after.state == "erased":
        return (_entry(bound, "erased", after),)
    if after.state == "replaced":
        return _replaced(bound, after, stands_in, is_lost=is_lost)
    if after.state != "approved":
        told = f"it binds since {bound.at:%Y-%m-%d}, and cannot become {after.state}"
        _refuse(after, [Blocker("state", "bound", told, _REPLACE)])
    moved = [name for name in _LOCKED if getattr(before, name) != getattr(after, name)]
    found = [Blocker(name, "bound", f"its {name} cannot be changed", _REPLACE) for name in moved]
    if is_lost and (after.lost or after.digest != bound.digest):
        found.append(Blocker("case", "not_as_bound", _LOST, _REPLACE_LOST))
    elif after.digest != bound.digest:
        less = weakened(before.case, after.case)
        found += [Blocker("case", "weakened", why, _REPLACE) for why in less]
    _refuse(after, found)
    if after.digest == bound.digest:
        return ()
    return (_entry(bound, "strengthened", after, version=after.version, digest=after.digest),)


def _replaced(
    bound: LedgerEntry, after: Regression, stands_in: StandsIn | None, *, is_lost: bool
) -> tuple[LedgerEntry, ...]:
    """The tombstone; and where nobody can run any more what was bound, the entry by which an
    approved case binds in its place, whether the version in force meets it yet or not."""
    entry = stands_in.entry if stands_in is not None else None
    binds: tuple[LedgerEntry, ...] = ()
    if is_lost and stands_in is not None and (entry is None or not entry.binds):
        one = stands_in.case
        if one.state == "approved" and not one.lost and one.id != bound.regression_id:
            entry = _bound(one, bound, after)
            binds = (entry,)
    _refuse(after, _against_replacing(bound, after, entry, is_lost=is_lost))
    proof_id = entry.proof_id if entry is not None else ""
    told = _entry(bound, "replaced", after, replaced_by=after.replaced_by, proof_id=proof_id)
    return (told, *binds)


def _against_replacing(
    bound: LedgerEntry, after: Regression, stands_in: LedgerEntry | None, *, is_lost: bool
) -> list[Blocker]:
    found = []
    if not after.reason.strip():
        found.append(Blocker("reason", "reason", "a tombstone gives the reason", "say why"))
    name = after.replaced_by or "nothing"
    if stands_in is None or not stands_in.binds or stands_in.regression_id == bound.regression_id:
        told = f"{name} is not proven and bound, so it cannot stand in for a case that binds"
        found.append(Blocker("replaced_by", "not_bound", told, "approve it, then kt prove INC"))
        return found
    found += [
        Blocker("replaced_by", "elsewhere", f"{name} has another {field}", "name one of the same")
        # What was lost may have lost its incident, too.
        for field in (("config_id",) if is_lost else ("incident_id", "config_id"))
        if getattr(stands_in, field) != getattr(bound, field)
    ]
    if stands_in.case_kind != bound.case_kind:
        told = f"{name} is a {stands_in.case_kind}, and this is a {bound.case_kind}"
        found.append(Blocker("replaced_by", "kind", told, "name one of the same kind"))
    return found


def _refuse(after: Regression, blockers: list[Blocker]) -> None:
    if blockers:
        raise Blocked(
            f"{after.id} binds, because its incident was closed with it: {blockers[0].message}",
            blockers,
        )


def _bound(one: Regression, lost: LedgerEntry, after: Regression) -> LedgerEntry:
    return LedgerEntry(
        id=new_id(after.changed_at),
        act="bound",
        at=after.changed_at,
        by=after.changed_by,
        regression_id=one.id,
        version=one.version,
        digest=one.digest,
        case_kind=one.kind,
        incident_id=one.incident_id,
        config_id=one.config_id,
        gateways=lost.gateways,
        reason=after.reason,
    )


def _entry(
    bound: LedgerEntry,
    act: LedgerAct,
    after: Regression,
    *,
    version: int = 0,
    digest: str = "",
    replaced_by: str = "",
    proof_id: str = "",
) -> LedgerEntry:
    return LedgerEntry(
        id=new_id(after.changed_at),
        act=act,
        at=after.changed_at,
        by=after.changed_by,
        regression_id=bound.regression_id,
        version=version or bound.version,
        digest=digest or bound.digest,
        case_kind=bound.case_kind,
        incident_id=bound.incident_id,
        config_id=bound.config_id,
        gateways=bound.gateways,
        proof_id=proof_id or bound.proof_id,
        replaced_by=replaced_by,
        reason=after.reason,
    )
