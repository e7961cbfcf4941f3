"""Clocks of an incident: opened by answers, started by decided moments or by earlier reports, and
never deleted: met, tolled, or set aside with a reason. Reminders, not legal advice.

Readings are strict: an answer "unknown" opens a clock, a role that nobody denied counts as ours,
and of several moments the earliest starts it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from kintsugi.errors import InvalidInput, NotFound
from kintsugi.incidents.clocks import due_at, relief_at
from kintsugi.incidents.commands import Act, changed, entry, in_command, refuse, wanted_reason
from kintsugi.incidents.rules import Rule, catalogue, fields, rule_of
from kintsugi.model.blocker import Blocker
from kintsugi.model.incident import Answer, Change, Entry, Incident, new_id
from kintsugi.model.obligation import (
    Fact,
    Moment,
    MomentKind,
    Obligation,
    SetAside,
    Submission,
    Toll,
)

_OPENING: Final = ("yes", "unknown")


def opened(
    incident: Incident,
    act: Act,
    *,
    triggers: Mapping[str, Answer] | None = None,
    roles: Mapping[str, Answer] | None = None,
    rules: Sequence[str] = (),
) -> Change:
    """Open the clocks that the answers ask for, and those that are named.

    A clock that is open already stays as it is, whatever is answered later.

    Args:
        triggers: answers to the catalogue's questions; one that is left out was not asked.
        roles: whether the organisation is a ``data_controller`` and so on; left out is unknown.

    Raises:
        InvalidInput: an unknown question, role or rule.
    """
    triggers, roles = triggers or {}, roles or {}
    _check_known("triggers", triggers, catalogue().triggers)
    _check_known("roles", roles, {rule.who for rule in catalogue().rules})
    wanted = {
        rule.id: rule
        for rule in catalogue().rules
        if rule.enabled
        and triggers.get(rule.trigger) in _OPENING
        and roles.get(rule.who, "unknown") in _OPENING
    }
    beaten = {other for rule in wanted.values() for other in rule.beats}
    wanted = {name: rule for name, rule in wanted.items() if name not in beaten}
    wanted |= {name: rule_of(name) for name in rules}
    for rule in tuple(wanted.values()):
        wanted |= {one.id: one for one in _followers(rule, wanted)}
    held = {one.rule for one in incident.obligations}
    why = ", ".join(f"{name}: {answer}" for name, answer in (*triggers.items(), *roles.items()))
    new = [_clock(rule, act, why or "by name") for rule in wanted.values() if rule.id not in held]
    if not new:
        return Change(incident, ())
    after = msgspec.structs.replace(incident, obligations=(*incident.obligations, *new))
    told = [
        entry(
            incident,
            "obligation",
            f"clock opened: {one.regime} {one.article} ({one.rule})",
            act,
            detail={"rule": one.rule, "obligation": one.id, "why": one.why},
        )
        for one in new
    ]
    return _refreshed(after, told, act)


def moment_decided(incident: Incident, kind: MomentKind, at: datetime, act: Act) -> Change:
    """Decide when something happened in the sense of a law; clocks start from it.

    An earlier decision stays in the record; the newest one counts.

    Raises:
        InvalidInput: it lies ahead (the end of a year may).
        Blocked: no reason is given.
    """
    if at > act.now and kind != "year_end":
        raise InvalidInput("at: lies ahead; a moment is decided on when it has come")
    refuse(f"decide {kind}", wanted_reason(act))
    before = incident.moment(kind)
    moment = Moment(kind, at, act.actor.reference, act.now, act.reason)
    told = entry(
        incident,
        "moment",
        f"{kind} decided: {at:%Y-%m-%d %H:%M} UTC",
        act,
        detail={"kind": kind, "at": at, "before": before.at if before else None},
    )
    after = msgspec.structs.replace(incident, moments=(*incident.moments, moment))
    return _refreshed(after, [told], act)


def submitted(
    incident: Incident, obligation_id: str, act: Act, *, reference: str, incomplete: bool = False
) -> Change:
    """A report went out, at ``act.at`` or now.

    Raises:
        InvalidInput: no reference, or incomplete where the law does not allow that.
    """
    clock = _clock_of(incident, obligation_id)
    rule = rule_of(clock.rule)
    if not reference.strip():
        raise InvalidInput("reference: the recipient's number, or where a copy lies")
    if incomplete and not rule.incomplete:
        raise InvalidInput(f"incomplete: {clock.regime} {clock.article} does not allow that")
    if clock.set_aside is not None:
        refuse(
            f"meet {clock.rule}",
            [Blocker("obligation", "set_aside", "it was set aside", "reinstate it first")],
        )
    made = Submission(
        act.happened_at, reference.strip(), act.actor.reference, incomplete, act.reason
    )
    met = msgspec.structs.replace(clock, submissions=(*clock.submissions, made))
    word = "incomplete report submitted" if incomplete else "report submitted"
    told = [_told(incident, clock, f"{word}: {reference.strip()}", act)]
    after = _with(incident, met)
    if rule.repeats and not incomplete and incident.moment("resolved") is None:
        following = msgspec.structs.replace(
            _clock(rule, act, f"round {clock.round} is met"), round=clock.round + 1
        )
        after = msgspec.structs.replace(after, obligations=(*after.obligations, following))
        told.append(_told(incident, following, f"round {following.round} begins", act))
    return _refreshed(after, told, act)


def tolled(incident: Incident, obligation_id: str, act: Act, *, evidence: str) -> Change:
    """Stop the time of a clock, on the strength of something.

    Raises:
        Blocked: not in command, no reason or evidence, or it does not run.
    """
    clock = _clock_of(incident, obligation_id)
    found = [*wanted_reason(act), *in_command(incident, act), *_ended(clock, act)]
    if clock.tolled:
        found.append(Blocker("obligation", "tolled", "it is tolled already", "resume it first"))
    if not evidence.strip():
        found.append(Blocker("evidence", "evidence", "name the order or statement"))
    refuse(f"toll {clock.rule}", found)
    toll = Toll(act.happened_at, act.reason, evidence.strip(), act.actor.reference)
    after = msgspec.structs.replace(clock, tolls=(*clock.tolls, toll))
    return _refreshed(_with(incident, after), [_told(incident, clock, "tolled", act)], act)


def resumed(incident: Incident, obligation_id: str, act: Act) -> Change:
    """Let the time of a tolled clock run again.

    Raises:
        Blocked: it is not tolled.
    """
    clock = _clock_of(incident, obligation_id)
    if not clock.tolled:
        refuse(f"resume {clock.rule}", [Blocker("obligation", "running", "it is not tolled")])
    *ended, toll = clock.tolls
    until = max(act.happened_at, toll.since)
    tolls = (*ended, msgspec.structs.replace(toll, until=until))
    after = msgspec.structs.replace(clock, tolls=tolls)
    return _refreshed(_with(incident, after), [_told(incident, clock, "time runs again", act)], act)


def set_aside(incident: Incident, obligation_id: str, act: Act) -> Change:
    """Decide that a clock does not apply. It stays in the record, with who decided so and why.

    Raises:
        Blocked: not in command, no reason, or it has ended.
    """
    clock = _clock_of(incident, obligation_id)
    refuse(
        f"set {clock.rule} aside",
        [*wanted_reason(act), *in_command(incident, act), *_ended(clock, act)],
    )
    decided = SetAside(act.now, act.actor.reference, act.reason)
    after = msgspec.structs.replace(clock, set_aside=decided)
    return _refreshed(_with(incident, after), [_told(incident, clock, "set aside", act)], act)


def reinstated(incident: Incident, obligation_id: str, act: Act) -> Change:
    """Take back that a clock was set aside.

    Raises:
        Blocked: it was not, or no reason is given.
    """
    clock = _clock_of(incident, obligation_id)
    found = wanted_reason(act)
    if clock.set_aside is None:
        found.append(Blocker("obligation", "running", "it was not set aside"))
    refuse(f"reinstate {clock.rule}", found)
    after = msgspec.structs.replace(clock, set_aside=None)
    return _refreshed(_with(incident, after), [_told(incident, clock, "reinstated", act)], act)


def facts_said(incident: Incident, said: Mapping[str, Fact], act: Act) -> Change:
    """Say something for fields of reports; ``unknown`` and ``not_applicable`` are answers too.

    Raises:
        InvalidInput: a field that is none, or one that is had without a value.
    """
    _check_known("facts", said, fields())
    for name, fact in said.items():
        if fact.status == "have" and not fact.value.strip():
            raise InvalidInput(f"facts.{name}: give a value, or say unknown or not_applicable")
    if not said:
        return Change(incident, ())
    told = entry(
        incident,
        "fact",
        f"for reports: {', '.join(said)}",
        act,
        detail={name: {"status": fact.status, "value": fact.value} for name, fact in said.items()},
    )
    return changed(incident, [told], act, facts={**incident.facts, **said})


def _followers(rule: Rule, wanted: Mapping[str, Rule]) -> list[Rule]:
    """Reports that start from the submission of this one, however far down the chain."""
    found: list[Rule] = []
    for other in catalogue().rules:
        if rule.id in other.after and other.id not in wanted:
            found += [other, *_followers(other, {**wanted, other.id: other})]
    return found


def _clock(rule: Rule, act: Act, why: str) -> Obligation:
    return Obligation(
        id=new_id(act.now),
        rule=rule.id,
        regime=rule.regime,
        article=rule.article,
        amount=rule.amount,
        unit=rule.unit,
        recipient=rule.recipient,
        opened_at=act.now,
        opened_by=act.actor.reference,
        why=why,
    )


def _refreshed(incident: Incident, told: Sequence[Entry], act: Act) -> Change:
    """With every start and due date as it follows from moments, submissions and tolls."""
    clocks = tuple(_timed(incident, one) for one in incident.obligations)
    return changed(incident, told, act, obligations=clocks)


def _timed(incident: Incident, clock: Obligation) -> Obligation:
    start = _start(incident, clock, rule_of(clock.rule))
    if start is None:
        return msgspec.structs.replace(clock, start_at=None, due_at=None, relief_at=None)
    zone = rule_of(clock.rule).zone
    due: datetime | None = due_at(start, clock.amount, clock.unit, zone=zone)
    relief = relief_at(start, clock.amount, clock.unit, zone=zone)
    for toll in clock.tolls:
        # What was tolled after the end, or before the start, extends nothing.
        since = max(toll.since, start)
        if due is not None and since < due:
            due = None if toll.until is None else due + max(toll.until - since, timedelta(0))
    if clock.tolls:
        relief = None
    return msgspec.structs.replace(clock, start_at=start, due_at=due, relief_at=relief)


def _start(incident: Incident, clock: Obligation, rule: Rule) -> datetime | None:
    """When it begins; None while that is not known."""
    if clock.round > 1:
        before = [
            one
            for one in incident.obligations
            if one.rule == clock.rule and one.round == clock.round - 1
        ]
        return before[0].submitted_at if before else None
    decided = [found.at for kind in rule.start if (found := incident.moment(kind)) is not None]
    reported = [
        one.submitted_at
        for one in incident.obligations
        if one.rule in rule.after and one.submitted_at is not None
    ]
    return min([*decided, *reported], default=None)


def _clock_of(incident: Incident, obligation_id: str) -> Obligation:
    for one in incident.obligations:
        if one.id == obligation_id.lower():
            return one
    raise NotFound(f'there is no obligation "{obligation_id}"')


def _with(incident: Incident, clock: Obligation) -> Incident:
    clocks = tuple(clock if one.id == clock.id else one for one in incident.obligations)
    return msgspec.structs.replace(incident, obligations=clocks)


def _told(incident: Incident, clock: Obligation, what: str, act: Act) -> Entry:
    return entry(
        incident,
        "obligation",
        f"{clock.regime} {clock.article}: {what}",
        act,
        detail={"rule": clock.rule, "obligation": clock.id},
    )


def _ended(clock: Obligation, act: Act) -> list[Blocker]:
    status = clock.status(act.now)
    if status not in ("met", "set_aside"):
        return []
    return [Blocker("obligation", "ended", f"it is {status}")]


def _check_known(name: str, given: Mapping[str, Any], known: Any) -> None:
    for one in given:
        if one not in known:
            raise InvalidInput(f'{name}: there is no "{one}"; known: {", ".join(sorted(known))}')
