"""How an incident is changed: decided and stored, or only decided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from pydantic import Field
from starlette.responses import Response

from kintsugi.api.answers import One, one
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.edits import DryRun, IfMatch, etag, expected_version
from kintsugi.api.incident_views import IncidentView, view_of
from kintsugi.api.incidents import Doing
from kintsugi.api.permissions import Scope
from kintsugi.api.routing import Routes
from kintsugi.errors import VersionConflict
from kintsugi.incidents.commands import Act
from kintsugi.model.incident import Change, Incident
from kintsugi.model.tokens import Token

Name = Annotated[str, Field(min_length=1, max_length=300)]


@dataclass(frozen=True, slots=True)
class Edit:
    """A request to change an incident, or what belongs to one: all of it but the body.

    Attributes:
        if_match: the version that the caller has read, and the only one to change. Without it,
            the change is made to what is there.
        dry_run: decide, and store nothing.
    """

    control: Control
    caller: Token
    if_match: str | None
    dry_run: bool

    def act(self, doing: Doing | None) -> Act:
        """Who does it, when, and why."""
        return (doing or Doing()).act(self.control, self.caller)

    def changed(self, key: str, decide: Callable[[Incident], Change]) -> Response:
        """Decide on one incident; the answer is that one afterwards."""
        return self.all_changed([key], lambda found: (decide(found[0]),))

    def all_changed(
        self,
        keys: list[str],
        decide: Callable[[tuple[Incident, ...]], tuple[Change, ...]],
        *,
        show: int = 0,
    ) -> Response:
        """Decide on several at once; the answer is the incident in place ``show``. ``if_match`` is
        about the first."""
        now, expected = self.control.clock(), expected_version(self.if_match)
        incidents = self.control.stores.incidents
        if self.dry_run:
            before = tuple(incidents.get(key) for key in keys)
            if expected not in (None, before[0].version):
                raise VersionConflict
            after = tuple(change.incident for change in decide(before))
        else:
            after = incidents.change(keys, decide, now=now, expected_version=expected)
        shown = after[show]
        return one(view_of(shown, now=now), headers={"etag": etag(shown.version)})


# A coroutine only because FastAPI would send a plain function to the thread pool.
async def _edit(control: Ctl, caller: Caller, query: DryRun, if_match: IfMatch = None) -> Edit:
    return Edit(control, caller, if_match, query.dry_run)


Editing = Annotated[Edit, Depends(_edit)]


def verb_of(
    routes: Routes, verb: str, scope: Scope = Scope.INCIDENTS_RESPOND, path: str = ""
) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
    """Declare what is done to one incident.

    Args:
        path: below the incident, where it is not the verb alone.
    """
    return routes.add(
        "POST",
        f"/v1/incidents/{{incident_id}}/{path or verb}",
        scope,
        answer=One[IncidentView],
        parameters=True,
    )
