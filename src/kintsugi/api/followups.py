"""What the routes of actions, communications, reviews and playbooks share: read one, decide on it,
keep it with its incidents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, TypeVar

from fastapi import Path

from kintsugi.api.control import Control
from kintsugi.api.edits import expected_version
from kintsugi.errors import NotFound, VersionConflict
from kintsugi.model.followup import Followup, FollowupFilter, FollowupKind, kind_of
from kintsugi.model.incident import Change, Incident

FollowupId = Annotated[str, Path(max_length=64)]
F = TypeVar("F")
DecideOn = Callable[[Sequence[Incident], F], Sequence[Change]]

# Whoever sent no If-Match wants the change made to the newest version: it is read again so often.
_TRIES: Final = 5
_PAGE: Final = 500


def followup(control: Control, followup_id: str, sort: type[F], kind: FollowupKind) -> F:
    """One of a sort.

    Raises:
        NotFound: there is none of this sort with this id.
    """
    found = control.stores.followups.get(followup_id)
    if not isinstance(found, sort):
        raise NotFound(f'there is no {kind} "{followup_id}"; this is an {kind_of(found)}')
    return found


def all_of(control: Control, incident: Incident, kind: FollowupKind) -> list[Any]:
    """All of a kind that an incident has, oldest first."""
    where = FollowupFilter(kind=kind, incident=incident.id)
    found: list[Followup] = []
    cursor: str | None = None
    while True:
        shown, cursor = control.stores.followups.page(
            where, order="newest", limit=_PAGE, cursor=cursor
        )
        found += shown
        if cursor is None:
            return found[::-1]


def decided(
    control: Control,
    followup_id: str,
    sort: type[F],
    kind: FollowupKind,
    decide: DecideOn[F],
    if_match: str | None,
    *,
    also: Sequence[str] = (),
    dry_run: bool = False,
) -> F:
    """Decide on one and keep it; as it is afterwards.

    Args:
        also: keys of incidents that it does not belong to yet, and that the decision tells of.
    """
    expected = expected_version(if_match)
    for attempt in range(_TRIES):
        before: Any = followup(control, followup_id, sort, kind)
        if expected not in (None, before.version):
            raise VersionConflict(
                f"the {kind} is at version {before.version}, not {expected}; read it again and "
                "retry"
            )
        keys = [*before.incidents, *also]
        try:
            after: F = _keep(
                control,
                keys,
                lambda found: decide(found, before),  # noqa: B023 - called at once
                dry_run=dry_run,
            )
        except VersionConflict:
            if expected is not None or attempt == _TRIES - 1:
                raise
        else:
            return after
    raise AssertionError("unreachable")


def kept(
    control: Control,
    incident_id: str,
    decide: Callable[[Incident], Change],
    *,
    dry_run: bool = False,
) -> Any:
    """Decide on an incident, and keep what the decision makes new; that one."""
    return _keep(control, [incident_id], lambda found: (decide(found[0]),), dry_run=dry_run)


def _keep(
    control: Control,
    keys: Sequence[str],
    decide: Callable[[Sequence[Incident]], Sequence[Change]],
    *,
    dry_run: bool,
) -> Any:
    incidents = control.stores.incidents
    # The same incident under two names is one.
    found = dict.fromkeys(incidents.get(key).id for key in keys)
    if dry_run:
        return _newest(decide(tuple(incidents.get(one) for one in found)))
    after: list[Any] = []

    def remembering(seen: tuple[Incident, ...]) -> tuple[Change, ...]:
        changes = tuple(decide(seen))
        after.append(_newest(changes))
        return changes

    incidents.change(list(found), remembering, now=control.clock())
    [one] = after
    return control.stores.followups.get(one.id)


def _newest(changes: Sequence[Change]) -> Followup:
    [one] = [followup for change in changes for followup in change.keep][:1]
    return one
