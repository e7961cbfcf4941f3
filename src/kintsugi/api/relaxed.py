"""What is relaxed now, in configurations that gateways run, in periods of retention, by a bypass,
and in the close gates of incidents: nothing relaxed is hidden."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final
from urllib.parse import quote

import msgspec

from kintsugi.api.gate_facts import gate_facts
from kintsugi.api.pins import is_weaker_now
from kintsugi.errors import ConfigurationInvalid, NotFound
from kintsugi.incidents.gates import gates_of, waived_now
from kintsugi.model.configurations import ConfigurationVersion
from kintsugi.model.incident import Incident, IncidentFilter, Waiver
from kintsugi.model.retention import BY_NAME, RetentionSettings
from kintsugi.model.stores import Stores
from kintsugi.policy.parse import parse_config
from kintsugi.policy.relaxed import Relaxed, State, relaxed

# A gateway that is away runs on with what it has; one of which nobody heard for so long is gone.
_GONE_AFTER = timedelta(days=1)
# Versions that anybody looks at; each is parsed once, which takes some milliseconds.
_PARSED_MAX = 64
# Where the control plane itself is relaxed, it stands in place of gateways.
CONTROL_PLANE: Final = "control plane"
_BYPASSES_MAX: Final = 100
_WAIVED_MAX: Final = 50


class RelaxedView(msgspec.Struct, frozen=True):
    """One setting that is weaker than it could be.

    Attributes:
        source: what relaxes it: ``support@3``, ``retention@2``, ``containment``, ``INC-000007``.
        address: its page in the console; empty where there is none.
        path, setting: where it stands, and as its author wrote it: ``mode: monitor``.
        meaning: what that comes to.
        state: ``overdue`` after its last day, ``unowned`` where nobody answers for it.
        expires: its last day (UTC).
        days_left: until then; 0 on that day, negative after it.
        gateways: those that run it, as they said within the last day; "control plane" for what it
            does itself.
    """

    source: str
    address: str
    path: str
    setting: str
    meaning: str
    state: State
    owner: str
    reason: str
    expires: date | None
    days_left: int | None
    gateways: tuple[str, ...] = ()


def relaxed_now(stores: Stores, *, now: datetime) -> tuple[RelaxedView, ...]:
    """Everything relaxed in the versions that gateways run and in the newest ones; what
    needs somebody first."""
    running = _running(stores, now=now)
    versions = {(found.id, found.version): found for found in stores.configurations.list()}
    for config_id, version in running.keys() - versions.keys():
        try:
            versions[config_id, version] = stores.configurations.get(config_id, version)
        except NotFound:  # of a gateway that came from another control plane
            continue
    found = [
        one
        for key, version in versions.items()
        for one in relaxed_of(version, now=now, gateways=tuple(sorted(running.get(key, ()))))
    ]
    found += relaxed_elsewhere(stores, now=now)
    return tuple(sorted(found, key=_urgency))


def relaxed_of(
    version: ConfigurationVersion, *, now: datetime, gateways: tuple[str, ...] = ()
) -> Iterator[RelaxedView]:
    """What one version relaxes, in its own order."""
    today = now.astimezone(UTC).date()
    for one in _relaxed_in(version.content):
        yield RelaxedView(
            source=f"{version.id}@{version.version}",
            address=f"/configurations/{quote(version.id, safe='')}/versions/{version.version}",
            path=one.path,
            setting=one.setting,
            meaning=one.meaning,
            state=one.state(today),
            owner=one.by.owner if one.by else "",
            reason=one.by.reason if one.by else "",
            expires=one.by.expires if one.by else None,
            days_left=one.days_left(today),
            gateways=gateways,
        )


def relaxed_elsewhere(stores: Stores, *, now: datetime) -> list[RelaxedView]:
    """What people relaxed outside of configurations."""
    return [
        *relaxed_periods(stores.retention.settings(), now=now),
        *_bypasses(stores, now=now),
        *_waivers(stores, now=now),
    ]


def _bypasses(stores: Stores, *, now: datetime) -> Iterator[RelaxedView]:
    records = stores.gateways.list()
    for one in stores.containments.in_force(now=now, limit=_BYPASSES_MAX):
        if not (one.lever.loosens or is_weaker_now(stores, one.lever)):
            continue
        setting = f"bypass: {', '.join(one.lever.policies) or 'every policy'}"
        meaning = "what it finds in scope goes through"
        if one.lever.name == "pin-policy":
            setting = f"pinned: {one.lever.config_version}"
            meaning = "the policies of another version decide in its scope"
        if one.breaks is not None:
            several = "case does" if one.breaks.count == 1 else "cases do"
            meaning += f", and {one.breaks.count} regression {several} not hold there"
        until = one.expires_at.astimezone(UTC).date()
        yield RelaxedView(
            source="containment",
            address=f"/containments/{one.id}",
            path=f"containment.{one.id}",
            setting=setting,
            meaning=f"{meaning} until {one.expires_at:%H:%M} UTC",
            state="in_time",
            owner=one.owner,
            reason=one.reason,
            expires=until,
            days_left=(until - now.astimezone(UTC).date()).days,
            gateways=tuple(
                record.report.id
                for record in records
                if any(one.id in worker.contained for worker in record.report.workers)
            ),
        )


def _waivers(stores: Stores, *, now: datetime) -> Iterator[RelaxedView]:
    """Waivers in force; and those that ended while what they stood in for is still missing from an
    incident that was closed on them."""
    for incident in stores.incidents.page(IncidentFilter(waived=True), limit=_WAIVED_MAX)[0]:
        in_force = waived_now(incident, now=now)
        for waiver in in_force:
            yield _waived(incident, waiver, "in_time", now=now)
        if incident.state != "closed" or len(in_force) == len(incident.waivers):
            continue
        newest = {waiver.gate: waiver for waiver in incident.waivers}
        for gate in gates_of(incident, gate_facts(stores, incident), now=now):
            if gate.status == "missing" and gate.gate in newest:
                yield _waived(incident, newest[gate.gate], "overdue", now=now)


def _waived(incident: Incident, waiver: Waiver, state: State, *, now: datetime) -> RelaxedView:
    until = waiver.expires_at.astimezone(UTC).date()
    return RelaxedView(
        source=incident.reference,
        address="",
        path=f"gates.{waiver.gate}",
        setting="waived",
        meaning="what the gate asks for may be missing when the incident is closed",
        state=state,
        owner=waiver.owner,
        reason=waiver.reason,
        expires=until,
        days_left=(until - now.astimezone(UTC).date()).days,
        gateways=(CONTROL_PLANE,),
    )


def relaxed_periods(settings: RetentionSettings, *, now: datetime) -> Iterator[RelaxedView]:
    """Periods of retention below the floor. After their last day the floor holds again, and they
    stand here until somebody sets them anew."""
    today = now.astimezone(UTC).date()
    for policy in settings.policies:
        state, by = policy.state(today), policy.relaxed
        if state is None or by is None:
            continue
        meaning = f"{BY_NAME[policy.name].what}: kept for less than six months"
        if state == "overdue":
            meaning = f"{BY_NAME[policy.name].what}: the floor holds again since this has ended"
        yield RelaxedView(
            source=f"retention@{settings.version}",
            address="",
            path=f"retention.{policy.name}",
            setting=f"days: {policy.days}",
            meaning=meaning,
            state=state,
            owner=by.owner,
            reason=by.reason,
            expires=by.expires,
            days_left=(by.expires - today).days,
            gateways=(CONTROL_PLANE,) if state == "in_time" else (),
        )


def running_gateways(stores: Stores, config_id: str, version: int, *, now: datetime) -> list[str]:
    """Gateways of which some worker runs this version, as they said within the last day."""
    return sorted(_running(stores, now=now).get((config_id, version), ()))


def _running(stores: Stores, *, now: datetime) -> dict[tuple[str, int], set[str]]:
    """Gateways by the versions that their workers run; a gateway that runs a file of its own has
    no version here."""
    found: dict[tuple[str, int], set[str]] = {}
    for record in stores.gateways.list():
        if now - record.last_seen_at >= _GONE_AFTER:
            continue
        for worker in record.report.workers:
            config_id, _, version = worker.config_version.rpartition("@")
            if version.isdecimal() and len(version) < 10:
                found.setdefault((config_id, int(version)), set()).add(record.report.id)
    return found


def _urgency(one: RelaxedView) -> tuple[bool, int, str, str]:
    order = {"overdue": 0, "unowned": 1, "in_time": 2}[one.state]
    return (not one.gateways, order, one.source, one.path)


@lru_cache(_PARSED_MAX)
def _relaxed_in(content: str) -> tuple[Relaxed, ...]:
    try:
        return relaxed(parse_config(content))
    except ConfigurationInvalid:  # an earlier release could read it; gateways say that they cannot
        return ()
