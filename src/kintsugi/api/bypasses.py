"""Judges what went through under a bypass, once that is over."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec
import structlog

from kintsugi.api.containments import filter_of
from kintsugi.errors import Blocked, ConfigurationInvalid, NotFound
from kintsugi.incidents.commands import Act
from kintsugi.incidents.relations import with_events
from kintsugi.model.config import Config
from kintsugi.model.containment import Bypassed, Containment
from kintsugi.model.incident import Actor
from kintsugi.model.signal import Observation
from kintsugi.model.stores import Stores
from kintsugi.policy.bypassed import BypassTally
from kintsugi.policy.parse import parse_config

log = structlog.get_logger(__name__)

BYPASSES_EVERY_SECONDS: Final = 5.0
# Gateways ship within a second or two. What arrives later, from one that was away, is counted when
# somebody judges it again.
SETTLES_IN: Final = timedelta(seconds=30)
# Of those that would have been stopped, so many are tied to the incident; the count is of all.
TIED_MAX: Final = 10_000


class BypassJudge:
    """Looks at what bypasses let through, and tells their incidents."""

    def __init__(self, stores: Stores, clock: Callable[[], datetime]) -> None:
        self._stores = stores
        self._clock = clock

    def judge_once(self) -> bool:
        """Judge one bypass that is over, if there is any; whether there was."""
        before = self._clock() - SETTLES_IN
        found = self._stores.containments.unjudged(over_before=before, limit=1)
        for one in found:
            self.judge(one)
        return bool(found)

    def judge(self, one: Containment) -> Containment:
        """Judge everything that is known by now to have gone through under a bypass."""
        tally = BypassTally(one.lever.policies, _Configs(self._stores).get, keep_max=TIED_MAX)
        where, _ = filter_of(
            one.scope, since=one.approved_at or one.created_at, until=one.over_at + SETTLES_IN
        )
        for event in self._stores.events.scan(where, payload=False):
            if one.id in event.containments:
                tally.add(event)
        bypassed = tally.result()
        # First: after a crash in between it is judged again, and the incident told twice rather
        # than never. Ties and the signal are the same the second time.
        self._tell_incident(one, bypassed, tally.stopped)
        if bypassed.acted_on:
            self._stores.signals.observe(_observation(one, bypassed), now=self._clock())
        log.info("bypass.judged", containment_id=one.id, exchanges=bypassed.exchanges)
        return self._stores.containments.judge(one.id, bypassed, now=self._clock())

    def _tell_incident(self, one: Containment, bypassed: Bypassed, stopped: list[str]) -> None:
        if not stopped:
            return
        act = Act(
            Actor("bypass", f"containment/{one.id}"),
            self._clock(),
            reason=f"{bypassed.acted_on} of {bypassed.exchanges} exchanges under a bypass would "
            "not have gone through",
        )
        try:
            self._stores.incidents.change(
                [one.incident_id],
                lambda found: (with_events(found[0], stopped, act),),
                now=act.now,
            )
        except (Blocked, NotFound) as error:  # it has been closed or merged meanwhile
            log.warning("bypass.incident_not_told", containment_id=one.id, error=str(error))


class _Configs:
    """Configurations by the name that events have for them."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._known: dict[str, Config | None] = {}

    def get(self, name: str) -> Config | None:
        if name not in self._known:
            self._known[name] = self._read(name)
        return self._known[name]

    def _read(self, name: str) -> Config | None:
        config_id, _, version = name.rpartition("@")
        try:
            return parse_config(self._stores.configurations.get(config_id, int(version)).content)
        except (NotFound, ConfigurationInvalid, ValueError):
            return None  # of a gateway that runs a file of its own, or of another release


def _observation(one: Containment, bypassed: Bypassed) -> Observation:
    policies = ", ".join(f"{name} {count}" for name, count in bypassed.by_policy.items())
    return Observation(
        kind="bypass_let_through",
        key=f"bypass_let_through:{one.id}",
        severity="high",
        subject=f"containment:{one.id}",
        summary=(
            f"Under the bypass of {one.owner}, {bypassed.acted_on} of {bypassed.exchanges} "
            f"exchanges went through that policies would have acted on: {policies}."
        ),
        detail={"containment_id": one.id, **msgspec.to_builtins(bypassed)},
    )
