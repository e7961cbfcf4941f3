"""``/v1/replays``: recorded decisions judged again, on this machine, from what was recorded.

Nobody is shown content. Where that is masked in what everybody may see, what was kept unredacted
is read, and custody says so.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import One, one
from kintsugi.api.arrival import arrived
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.custody import actor_of
from kintsugi.api.event_query import EventFilters
from kintsugi.api.permissions import Scope
from kintsugi.api.pins import version_named, with_content
from kintsugi.api.routing import Routes
from kintsugi.errors import ConfigurationInvalid, InvalidInput, NotFound
from kintsugi.model.config import Config
from kintsugi.model.custody import custody_entry
from kintsugi.model.event import DecisionEvent, Payload
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.tokens import Token
from kintsugi.policy.containment import Contained, pin_of, pinned_config
from kintsugi.policy.plan import revision
from kintsugi.replay.compiled import Compiled, compiled
from kintsugi.replay.decisions import Replayed, missing_of, replay

routes = Routes("replays")

LIMIT_MAX = 200
# Configurations that one request holds on to; exchanges of one time run one or two.
_NAMED_MAX = 8


class Replay(BaseModel):
    """Which decisions to judge again, and by which configuration."""

    model_config = ConfigDict(extra="forbid")

    filter: EventFilters
    config_version: Annotated[
        str, Field(max_length=300, description="ID@V; each decision's own where left out.")
    ] = ""
    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX)] = 50
    cursor: Annotated[str | None, Field(max_length=512)] = None


class Replays(msgspec.Struct, frozen=True):
    """Some decisions, judged again.

    Attributes:
        next_cursor: send as ``cursor`` for the next ones; null after the last.
    """

    replays: list[Replayed]
    next_cursor: str | None


@routes.add("POST", "/v1/replays", Scope.REPLAYS_RUN, answer=One[Replays])
def replay_decisions(control: Ctl, caller: Caller, asked: Replay) -> Response:
    """Judge recorded decisions again, newest first, a page at a time. An event or an incident that
    is named has to be there."""
    where = asked.filter.where(now=control.clock())
    judges = _Judges(control)
    if asked.config_version:
        judges.get(asked.config_version)  # or it is refused before anything is read
    page = control.stores.events.page(where, limit=asked.limit, cursor=asked.cursor)
    if not page.events:
        _require_named(control, where)
    found = [_replayed(control, caller, event.id, asked, judges) for event in page.events]
    return one(Replays(found, page.next_cursor))


def _require_named(control: Control, where: EventFilter) -> None:
    """Refuse what is named and not there, which is not the same as nothing to judge.

    Raises:
        NotFound: there is no such event or incident.
        NotStoredYet: its gateway has still to ship the event.
    """
    if where.event:
        arrived(control, where.event)
    if where.incident:
        control.stores.incidents.get(where.incident)


def _replayed(
    control: Control, caller: Token, event_id: str, asked: Replay, judges: _Judges
) -> Replayed:
    event = control.stores.events.get(event_id)
    name = asked.config_version
    try:
        # Who asks for a version asks for its own policies, not for those that were pinned then.
        pinned = not name and bool(event.pinned_from)
        name = name or (event.pinned_from if pinned else judges.name_of(event))
        judge = judges.get(name)
        contained = judges.contained(event, judge, pinned=pinned)
        judged_by = judge.revision
        if (pin := pin_of(contained)) is not None:
            judged_by = judges.revision_under(pin, name)
    except (NotFound, InvalidInput, ConfigurationInvalid) as error:
        return Replayed(event.id, "not_reproducible", name, "", False, (str(error),))
    return replay(
        event,
        _payload(control, caller, event),
        judge.in_force,
        revision=judged_by,
        contained=contained,
        recorded_by=judges.recorded_by(event, name),
    )


def _payload(control: Control, caller: Token, event: DecisionEvent) -> Payload:
    """What was recorded; what is masked in it, only where that is what is missing."""
    hidden = event.payload.masked or event.changes
    if not hidden or not list(missing_of(event, event.payload)):
        return event.payload
    entry = custody_entry(
        "reveal",
        f"event:{event.id}",
        actor=actor_of(caller),
        now=control.clock(),
        reason="replay: judged again, shown to nobody",
        digest_before=event.payload_digest,
        digest_after=event.payload_digest,
    )
    return control.stores.events.reveal(event.id, entry)


class _Judges:
    """Configurations and containments, made ready once for a request."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._named: dict[str, Compiled] = {}
        self._contained: dict[tuple[str, str], tuple[Contained, ...]] = {}
        self._names: dict[str, str] = {}

    def get(self, name: str) -> Compiled:
        """A configuration by ``ID@V``, in force under that name.

        Raises:
            InvalidInput: it is no such name.
            NotFound: it is not known here: a gateway may run a file of its own.
            ConfigurationInvalid: this release cannot read it.
        """
        if name not in self._named:
            found = self._compiled(name)
            found.in_force.config_version = name
            if len(self._named) >= _NAMED_MAX:
                self._named.clear()
            self._named[name] = found
        return self._named[name]

    def revision_under(self, pin: Contained, name: str) -> str:
        """The revision of what decides while a version of the policies is pinned: as ``get``."""
        kept = self._compiled(pin.containment.lever.config_version).config
        return revision(pinned_config(kept, self._compiled(name).config))

    def _compiled(self, name: str) -> Compiled:
        return compiled(version_named(self._control.stores, name).content)

    def recorded_by(self, event: DecisionEvent, judged_by: str) -> Config | None:
        """The configuration that an event was decided by, where that is another one and known."""
        try:
            name = self.name_of(event)
            return None if name == judged_by else self.get(name).in_force.config
        except (NotFound, InvalidInput, ConfigurationInvalid):
            return None

    def name_of(self, event: DecisionEvent) -> str:
        """What the configuration of an event is called here. A gateway that still ran its own file
        named the pack's version: then it is the version that means the same.

        Raises:
            NotFound: there is none.
        """
        name = event.config_version
        if name not in self._names:
            config_id, _, version = name.rpartition("@")
            own = name
            if not version.isdecimal():
                same = (
                    one.version
                    for one in self._control.stores.configurations.versions(config_id)
                    if one.revision == event.revision
                )
                found = next(same, None)
                if found is None:
                    raise NotFound(
                        f"{name} ran from a file, and no version of {config_id} that is kept here "
                        "means the same"
                    )
                own = f"{config_id}@{found}"
            self._names[name] = own
        return self._names[name]

    def contained(
        self, event: DecisionEvent, judge: Compiled, *, pinned: bool
    ) -> tuple[Contained, ...]:
        """The containments that an event was under.

        Args:
            pinned: whether to have those among them that pin the policies.
        """
        found: list[Contained] = []
        for identifier in event.containments:
            key = (identifier, judge.in_force.config_version)
            if key not in self._contained:
                kept = self._control.stores.containments.get(identifier)
                kept = with_content(self._control.stores, kept)
                config_id = judge.in_force.config_version.rpartition("@")[0]
                self._contained[key] = judge.contained(kept, config_id)
            found += [one for one in self._contained[key] if pinned or one.pinned is None]
        return tuple(found)
