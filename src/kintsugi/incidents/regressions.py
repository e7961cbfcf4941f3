"""What people do to regression cases: the rules, all in one place. Pure: a case in, the case as its
next version out. What binds for ever the store refuses to weaken, see ``store/regression_moves``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from kintsugi.errors import InvalidInput, StateConflict
from kintsugi.incidents.commands import refuse
from kintsugi.model.blocker import Blocker
from kintsugi.model.proof import ProofRun
from kintsugi.model.regression import KeptSensitive, RedRun, Regression
from kintsugi.model.strength import weakened
from kintsugi.replay.capture import texts_chars
from kintsugi.replay.redaction_gate import FoundSensitive, Gated

# What a replacement has in common with what it replaces.
_SAME = {"config_id": "configuration", "kind": "kind", "incident_id": "incident"}
_REPLACE = "add another case and have it approved, then: kt regressions replace OLD NEW"


class Deed(msgspec.Struct, frozen=True):
    """Who does something to a case, when and why.

    Attributes:
        by: ``NAME/ID``.
    """

    by: str
    now: datetime
    reason: str = ""


def through_gate(one: Regression, gated: Gated, keep: Mapping[str, str], deed: Deed) -> Regression:
    """The case as it came out of the gate, with what was replaced and what was kept.

    Args:
        keep: why each kind stays.

    Raises:
        InvalidInput: something is to be kept without a reason, or is not there.
    """
    for kind, reason in keep.items():
        if not reason.strip():
            raise InvalidInput(f"keep.{kind}: say why it has to stay; that is kept with the case")
    known = {kept.finding: kept for kept in one.kept}
    if unknown := sorted(keep.keys() - gated.kept.keys() - known.keys()):
        found = ", ".join(sorted(gated.redacted)) or "nothing"
        raise InvalidInput(f"keep: {', '.join(unknown)} is not in this case; found was: {found}")
    kept = tuple(
        KeptSensitive(
            kind,
            count,
            deed.by if kind in keep else known[kind].by,
            keep[kind].strip() if kind in keep else known[kind].reason,
        )
        for kind, count in gated.kept.items()
    )
    redacted = dict(one.redacted)
    for kind, count in gated.redacted.items():
        redacted[kind] = redacted.get(kind, 0) + count
    return msgspec.structs.replace(
        one,
        case=gated.case,
        redacted=redacted,
        kept=kept,
        original_chars=one.original_chars or texts_chars(gated.case),
    )


def edited(before: Regression, after: Regression, deed: Deed) -> Regression:
    """A case with another content, or another name.

    Args:
        after: the same case with what is to change.

    Raises:
        StateConflict: nothing of it can be changed any more.
        Blocked: it is approved, and would ask for less.
    """
    if before.state not in ("proposed", "approved"):
        raise StateConflict(f"{before.id} is {before.state}, and stays as it is; {_REPLACE}")
    if before.state == "approved":
        refuse(
            f"change {before.id}",
            [
                Blocker("case", "weakened", f"it is approved, and then {why}", _REPLACE)
                for why in weakened(before.case, after.case)
            ],
        )
    if after == before:
        return before
    return _moved(after, "edited" if before.case != after.case else "noted", deed)


def approved(
    before: Regression, found: Sequence[FoundSensitive], run: ProofRun, deed: Deed
) -> Regression:
    """A case that a person lets count.

    Args:
        found: what the gate finds in it now.
        run: of this version, on the configuration of its time.

    Raises:
        StateConflict: it was decided about already.
        Blocked: it cannot fail, cannot be run, or holds what may not enter a case.
    """
    if before.state != "proposed":
        raise StateConflict(f"{before.id} is {before.state}; only what is proposed is approved")
    [tried] = run.cases
    blockers = [
        Blocker(
            one.where,
            "sensitive",
            f"{one.kind} is in it",
            "edit it: the gate replaces it; or say why it has to stay: --keep KIND=REASON",
        )
        for one in found
        if not one.kept
    ]
    if before.case.skip:
        blockers.append(
            Blocker("skip", "skipped", "it is skipped, so it holds nothing", "remove skip")
        )
    if tried.met is None:
        why = run.error or tried.why
        blockers.append(
            Blocker(
                "red",
                "could_not_run",
                f"it could not be run on {run.config_version}: {why}",
                "publish that configuration here, or edit the case",
            )
        )
    elif before.kind == "twin" and not tried.met:
        blockers.append(
            Blocker(
                "red",
                "twin_broken",
                f"a twin has to hold on {run.config_version} too; there it is {tried.verdict}",
                "edit it, or reject it",
            )
        )
    elif before.kind != "twin" and tried.met:
        blockers.append(
            Blocker(
                "red",
                "never_red",
                f"it passes on {run.config_version}, which was in force when it went wrong "
                f"({tried.verdict}): a case that cannot fail proves nothing",
                "change what it expects or sends (kt regressions edit), or reject it",
            )
        )
    refuse(f"approve {before.id}", blockers)
    red = RedRun(
        run.config_version,
        run.revision,
        run.engine_version,
        run.same_engine,
        run.at,
        bool(tried.met),
        tried.verdict,
        tried.reason_code,
    )
    return _moved(msgspec.structs.replace(before, state="approved", red=red), "approved", deed)


def rejected(before: Regression, deed: Deed) -> Regression:
    """A case that a person does not let count.

    Raises:
        StateConflict: it was decided about already.
        InvalidInput: no reason is given.
    """
    if before.state != "proposed":
        raise StateConflict(
            f"{before.id} is {before.state}; what is approved is replaced, not rejected: {_REPLACE}"
        )
    _require_reason(deed)
    return _moved(msgspec.structs.replace(before, state="rejected"), "rejected", deed)


def replaced(before: Regression, by: Regression, deed: Deed) -> Regression:
    """The tombstone of a case, which names what stands in for it.

    Raises:
        Blocked: nothing equal stands in.
        InvalidInput: no reason is given.
    """
    _require_reason(deed)
    blockers = []
    if before.state not in ("approved", "erased"):
        blockers.append(
            Blocker(
                "state",
                "not_approved",
                f"{before.id} is {before.state}: only what counts needs a replacement",
                "edit or reject it" if before.state == "proposed" else "",
            )
        )
    if by.id == before.id:
        blockers.append(Blocker("by", "itself", "it cannot replace itself", "name another case"))
    if by.state != "approved":
        blockers.append(
            Blocker(
                "by",
                "not_approved",
                f"{by.id} is {by.state}, not approved",
                f"kt regressions approve {by.id}",
            )
        )
    blockers += [
        Blocker("by", "elsewhere", f"{by.id} is of another {what}", "name one of the same")
        for name, what in _SAME.items()
        if getattr(by, name) != getattr(before, name)
        # What was lost may have lost its incident, too.
        and not (before.lost and name == "incident_id")
    ]
    refuse(f"replace {before.id}", blockers)
    gone = msgspec.structs.replace(before, state="replaced", replaced_by=by.id)
    return _moved(gone, "replaced", deed)


def _require_reason(deed: Deed) -> None:
    if not deed.reason.strip():
        raise InvalidInput("body.reason: say why; it is kept with the case")


def _moved(one: Regression, changed: str, deed: Deed) -> Regression:
    return msgspec.structs.replace(
        one,
        changed=changed,
        changed_at=deed.now,
        changed_by=deed.by,
        reason=deed.reason.strip(),
    )
