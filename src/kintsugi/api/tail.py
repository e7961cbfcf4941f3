"""Endless streams over the store: decisions as they arrive, configurations as they change.

Each stream reads at its own pace in bounded pieces, ends when its token does, and resumes from
the last position that its reader saw, so that nothing is missed or sent twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import msgspec
from starlette.concurrency import run_in_threadpool

from kintsugi.api import sse
from kintsugi.api.control import Control
from kintsugi.api.pins import with_content
from kintsugi.errors import NotFound, Unauthenticated
from kintsugi.model.configurations import ConfigurationVersion
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.events import StoredEvent
from kintsugi.model.oversight import Escalation, OversightPush, Resolution

_PIECE = 200
# More than a control plane's reviewers decide within the life of an approval.
_RESOLUTIONS_MAX = 1000
_QUARANTINES_MAX = 10_000
_CONTAINMENTS_MAX = 1000
# A gateway that was away for longer learns of a release from what is in force.
_RELEASED_OF_LATE = timedelta(days=7)
# How long a stream may outlive its token.
_TOKEN_CHECK_SECONDS = 1.0


class ConfigurationPush(msgspec.Struct, frozen=True):
    """A version on its way to a gateway."""

    id: str
    version: int
    revision: str
    content: str


StillAllowed = Callable[[], Awaitable[object]]
"""Raises ``Unauthenticated`` once the reader's token has ended."""


async def follow_events(
    control: Control, where: EventFilter, *, after: int | None, still_allowed: StillAllowed
) -> AsyncIterator[bytes]:
    """Frames ``decision``; their ids are positions.

    Args:
        after: the last position seen; None starts at ``where.since``, or now without one.
    """
    events = control.stores.events
    if after is None:
        after = 0 if where.since else await run_in_threadpool(events.last_position)

    def read(seen: int) -> tuple[list[StoredEvent], int]:
        # The end is read first: whatever is at or before it, and matches, is in the piece.
        end = events.last_position()
        piece = events.tail(after=seen, where=where, limit=_PIECE)
        reached = piece[-1].position if piece else seen
        return piece, reached if len(piece) == _PIECE else max(reached, end)

    with control.metrics.streams.labels("events").track_inprogress():
        yield sse.HEARTBEAT
        async for turn in turns(control, ("events",), still_allowed):
            if turn is None:
                yield sse.HEARTBEAT
                continue
            while True:
                piece, reached = await run_in_threadpool(read, after)
                after = reached
                for stored in piece:
                    data = msgspec.json.encode(stored.event)
                    yield sse.frame("decision", data, position=stored.position)
                if len(piece) < _PIECE:
                    break


async def follow_configuration(
    control: Control, config_id: str, *, still_allowed: StillAllowed
) -> AsyncIterator[bytes]:
    """Frames ``configuration``: the newest version at once, then each newer one; and frames
    ``oversight``: what people have decided, at once and whenever it changes."""
    sent = 0
    told: OversightPush | None = None

    def newest() -> ConfigurationVersion | None:
        try:
            return control.stores.configurations.get(config_id)
        except NotFound:
            return None

    with control.metrics.streams.labels("configurations").track_inprogress():
        yield sse.HEARTBEAT
        async for turn in turns(control, ("configurations", "oversight"), still_allowed):
            if turn is None:
                yield sse.HEARTBEAT
                continue
            decided = await run_in_threadpool(oversight_now, control)
            if decided != told:
                told = decided
                yield sse.frame("oversight", msgspec.json.encode(decided))
            version = await run_in_threadpool(newest)
            if version is not None and version.version > sent:
                sent = version.version
                push = ConfigurationPush(
                    version.id, version.version, version.revision, version.content
                )
                yield sse.frame("configuration", msgspec.json.encode(push), position=sent)


def oversight_now(control: Control) -> OversightPush:
    """What gateways must know of people's decisions now."""
    oversight = control.stores.oversight
    now = control.clock()
    return OversightPush(
        tuple(_resolution(one) for one in oversight.usable(now=now, limit=_RESOLUTIONS_MAX)),
        tuple(oversight.quarantines(in_force=True, limit=_QUARANTINES_MAX)[0]),
        tuple(oversight.released_since(now - _RELEASED_OF_LATE)),
        tuple(
            with_content(control.stores, one)
            for one in control.stores.containments.in_force(now=now, limit=_CONTAINMENTS_MAX)
        ),
    )


def _resolution(escalation: Escalation) -> Resolution:
    report = escalation.report
    return Resolution(
        escalation_id=report.id,
        action_digest=report.action_digest,
        revision=report.revision,
        expires_at=report.expires_at,
        approved=escalation.status == "approved",
        resolved_by=escalation.resolved_by,
        resolved_at=escalation.resolved_at,
    )


async def turns(
    control: Control, channels: tuple[str, ...], still_allowed: StillAllowed
) -> AsyncIterator[bool | None]:
    """True at once and after every change; None when a heartbeat is due.

    Ends when the server stops or the token does.
    """
    feed = control.feed
    generation = feed.generation(channels)
    quiet_seconds = 0.0
    yield True
    while not feed.closing:
        changed = await feed.wait(channels, after=generation, timeout_seconds=_TOKEN_CHECK_SECONDS)
        try:
            await still_allowed()
        except Unauthenticated:
            return
        if changed:
            generation = feed.generation(channels)
            quiet_seconds = 0.0
            yield True
        else:
            quiet_seconds += _TOKEN_CHECK_SECONDS
            if quiet_seconds >= sse.HEARTBEAT_SECONDS:
                quiet_seconds = 0.0
                yield None
