"""How an escalation may move, whoever stores it: claimed, resolved, used up. Pure."""

from __future__ import annotations

from datetime import datetime

import msgspec

from kintsugi.errors import Forbidden, StateConflict
from kintsugi.model.overrides import Judgement
from kintsugi.model.oversight import OPEN, Escalation, is_own


def claim(before: Escalation, *, by: str, now: datetime) -> Escalation:
    """Somebody looks into it, so that nobody else has to; claiming one's own again is no error.

    Raises:
        StateConflict: it is not open any more, or somebody else's.
        Forbidden: it is about the reviewer's own request.
    """
    _require_open(before, now)
    _require_other(before, by)
    if before.is_claimed(now) and before.claimed_by != by:
        raise StateConflict(f'"{before.claimed_by}" has claimed it already')
    if before.is_claimed(now):
        return before
    return msgspec.structs.replace(before, status="claimed", claimed_by=by, claimed_at=now)


def resolve(before: Escalation, said: Judgement, *, now: datetime) -> Escalation:
    """Approve or reject it; again with the same outcome by the same reviewer is no error.

    Raises:
        StateConflict: it is not open any more, or somebody else claimed it.
        Forbidden: it is about the reviewer's own request.
    """
    status = "approved" if said.approved else "rejected"
    by = said.by
    if before.status == status and before.resolved_by == by:
        return before
    _require_open(before, now)
    _require_other(before, by)
    if before.is_claimed(now) and before.claimed_by != by:
        raise StateConflict(f'"{before.claimed_by}" has claimed it')
    return msgspec.structs.replace(
        before,
        status=status,
        resolved_by=by,
        resolved_at=now,
        reason=said.reason,
        classification=said.classification,
        incident_id=said.incident_id,
    )


def expire(before: Escalation) -> Escalation:
    """Nobody decided in time: what was asked for stays refused."""
    return msgspec.structs.replace(
        before, status="expired", reason=before.reason or "nobody decided in time"
    )


def use(
    before: Escalation, *, action_digest: str, revision: str, by: str, now: datetime
) -> Escalation:
    """Use an approval up for the exchange ``by``; again by the same exchange is no error.

    Raises:
        StateConflict: it is no approval of this action under this revision, or not any more.
    """
    report = before.report
    if before.used_by == by and before.used_at is not None:
        return before
    if before.status != "approved":
        raise StateConflict(f"the escalation is {before.at(now)}, not approved")
    if not report.action_digest or report.action_digest != action_digest:
        raise StateConflict("the approval is for another action")
    if report.revision != revision:
        raise StateConflict("the approval is for another revision of the configuration")
    if before.used_at is not None:
        raise StateConflict("the approval has been used")
    if now >= report.expires_at:
        raise StateConflict("the approval has expired")
    return msgspec.structs.replace(before, used_at=now, used_by=by)


def _require_open(escalation: Escalation, now: datetime) -> None:
    status = escalation.at(now)
    if status not in OPEN:
        raise StateConflict(f"the escalation is {status} by now")


def _require_other(escalation: Escalation, by: str) -> None:
    """Nobody approves their own: not under the name of a user, an agent or a gateway key."""
    if is_own(escalation.report.identity, by):
        raise Forbidden("Nobody may decide about their own request.")
