"""What the change of a case that binds comes to in the regression ledger. Pure; both stores of
cases ask it in the transaction of the change."""

from __future__ import annotations

from typing import Final

from kintsugi.errors import Blocked
from kintsugi.model.blocker import Blocker
from kintsugi.model.incident import new_id
from kintsugi.model.regression import Regression
from kintsugi.model.regression_ledger import LedgerAct, LedgerEntry
from kintsugi.model.strength import weakened

_LOCKED: Final = ("incident_id", "config_id", "kind")
_REPLACE: Final = (
    "propose what shall stand in, have it approved, prove it, then replace this one with it"
)


def entry_after(
    bound: LedgerEntry, before: Regression, after: Regression, stands_in: LedgerEntry | None
) -> LedgerEntry | None:
    """The entry that tells of the change of a case that binds; None where what binds stays.

    Args:
        stands_in: how the case stands that the tombstone names.

    Raises:
        Blocked: the change would weaken it, or take it away without a proven one in its place.
    """
    if after.state == "erased":
        return _entry(bound, "erased", after)
    if after.state == "replaced":
        _refuse(after, _against_replacing(bound, after, stands_in))
        return _entry(
            bound,
            "replaced",
            after,
            replaced_by=after.replaced_by,
            proof_id=stands_in.proof_id if stands_in is not None else "",
        )
    if after.state != "approved":
        told = f"it binds since {bound.at:%Y-%m-%d}, and cannot become {after.state}"
        _refuse(after, [Blocker("state", "bound", told, _REPLACE)])
    moved = [name for name in _LOCKED if getattr(before, name) != getattr(after, name)]
    found = [Blocker(name, "bound", f"its {name} cannot be changed", _REPLACE) for name in moved]
    if after.digest != bound.digest:
        less = weakened(before.case, after.case)
        found += [Blocker("case", "weakened", why, _REPLACE) for why in less]
    _refuse(after, found)
    if after.digest == bound.digest:
        return None
    return _entry(bound, "strengthened", after, version=after.version, digest=after.digest)


def _against_replacing(
    bound: LedgerEntry, after: Regression, stands_in: LedgerEntry | None
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
        for field in ("incident_id", "config_id")
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
