"""A case made shorter, and the variants and twins that are made of it: proposed, each for a person
to decide. Pure."""

from __future__ import annotations

import msgspec

from kintsugi.errors import StateConflict
from kintsugi.incidents.regressions import Deed, through_gate
from kintsugi.model.config import Case
from kintsugi.model.regression import CaseKind, CaseSource, Regression
from kintsugi.replay.minimise import Minimised
from kintsugi.replay.redaction_gate import gate


def require_minimisable(one: Regression) -> None:
    """Refuse to shorten what somebody decided on as it is, or what has nothing to reproduce.

    Raises:
        StateConflict: it is a twin, or not proposed any more, or its content is gone.
    """
    _require_content(one)
    if one.kind == "twin":
        raise StateConflict(
            f"{one.id} is a twin: it holds on every configuration, so nothing in it is to blame"
        )
    if one.state != "proposed":
        raise StateConflict(
            f"{one.id} is {one.state}, and stays as it is; make the case again (kt regressions add)"
            " and minimise that one"
        )


def require_parent(one: Regression) -> None:
    """Refuse to make relatives of what is none of the incident's own cases.

    Raises:
        StateConflict: it is a variant or a twin itself, or does not count any more.
    """
    _require_content(one)
    if one.kind != "case":
        raise StateConflict(f"{one.id} is a {one.kind} of {one.parent}; name {one.parent}")
    if one.state not in ("proposed", "approved"):
        raise StateConflict(f"{one.id} is {one.state}, so nothing is made of it any more")


def minimised(before: Regression, result: Minimised, deed: Deed) -> Regression:
    """The case with what is left of it; the same where that was known.

    Raises:
        StateConflict: as for ``require_minimisable``: it may have changed since.
    """
    require_minimisable(before)
    after = msgspec.structs.replace(
        before,
        case=result.case,
        original_chars=before.original_chars or result.original_chars,
        minimised_chars=result.minimised_chars,
    )
    if after == before:
        return before
    return msgspec.structs.replace(
        after,
        changed="minimised",
        changed_at=deed.now,
        changed_by=deed.by,
        reason=deed.reason.strip(),
    )


def relative(
    parent: Regression,
    kind: CaseKind,
    technique: str,
    case: Case,
    deed: Deed,
    *,
    event_id: str = "",
    subject: str = "",
) -> Regression:
    """A variant or twin of a case, behind the redaction gate. What a person let into the case may
    be in it too, also where the gate does not know it again: so it is sealed and erased as the case
    is.

    Args:
        event_id, subject: of the recorded exchange that it is, and whose that is; empty for what
            was made of the case itself.
    """
    draft = Regression(
        id="",
        version=0,
        kind=kind,
        state="proposed",
        incident_id=parent.incident_id,
        config_id=parent.config_id,
        case=case,
        source=CaseSource(
            "event" if event_id else "case",
            event_id or parent.id,
            event_id,
            parent.source.config_version,
            parent.source.revision,
        ),
        created_at=deed.now,
        created_by=deed.by,
        changed_at=deed.now,
        changed_by=deed.by,
        reason=deed.reason.strip(),
        technique=technique,
        parent=parent.id,
        subject=subject,
        kept=parent.kept,
    )
    keep = [one.finding for one in parent.kept]
    made = through_gate(draft, gate(case, keep=keep), {}, deed)
    known = {one.finding for one in made.kept}
    disguised = [one for one in parent.kept if not event_id and one.finding not in known]
    return msgspec.structs.replace(made, kept=(*made.kept, *disguised))


def _require_content(one: Regression) -> None:
    if one.lost:
        raise StateConflict(f"{one.id} has no content any more: {one.lost}")
