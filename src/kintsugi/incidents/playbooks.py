"""Playbooks: attached to an incident, ticked step by step, applied again without losing a tick.
Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

import msgspec
from ruamel.yaml import YAML

from kintsugi.errors import InvalidInput, NotFound
from kintsugi.incidents.commands import Act, changed, entry, refuse, wanted_reason
from kintsugi.model.blocker import Blocker
from kintsugi.model.incident import Change, Incident, new_id
from kintsugi.model.playbook import Playbook, PlaybookRun, PlaybookStep, StepRun, StepState

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_STEPS_MAX: Final = 200
_WORDS_MAX: Final = 1000
_DONE: Final[Mapping[StepState, str]] = {
    "open": "open again",
    "done": "done",
    "skipped": "skipped",
}


@cache
def shipped() -> Mapping[str, Playbook]:
    """The playbooks as they are shipped, by id."""
    folder = files("kintsugi.incidents").joinpath("data", "playbooks")
    yaml = YAML(typ="safe", pure=True)
    found = [
        checked(msgspec.convert(yaml.load(file.read_text("utf-8")), Playbook))
        for file in folder.iterdir()
        if file.name.endswith(".yaml")
    ]
    return MappingProxyType({one.id: one for one in sorted(found, key=lambda one: one.id)})


def playbook_of(playbook_id: str) -> Playbook:
    """One that is shipped.

    Raises:
        NotFound: there is none with this id.
    """
    try:
        return shipped()[playbook_id]
    except KeyError:
        known = ", ".join(shipped())
        raise NotFound(f'there is no playbook "{playbook_id}"; known: {known}') from None


def checked(playbook: Playbook) -> Playbook:
    """The playbook, if it can be worked through.

    Raises:
        InvalidInput: what is wrong, and in which step.
    """
    if not _NAME.fullmatch(playbook.id):
        raise InvalidInput(f'playbook.id: "{playbook.id}" is no name; use a-z, 0-9 and hyphens')
    if playbook.version < 1:
        raise InvalidInput("playbook.version: begins at 1")
    if not playbook.steps or len(playbook.steps) > _STEPS_MAX:
        raise InvalidInput(f"playbook.steps: give 1 to {_STEPS_MAX}")
    seen: set[str] = set()
    for number, step in enumerate(playbook.steps):
        where = f"playbook.steps.{number}"
        if not _NAME.fullmatch(step.id):
            raise InvalidInput(f'{where}.id: "{step.id}" is no name; use a-z, 0-9 and hyphens')
        if step.id in seen:
            raise InvalidInput(f'{where}.id: there are two steps "{step.id}"')
        if not step.title.strip():
            raise InvalidInput(f"{where}.title: say what is to be done")
        if max(map(len, (step.title, step.command, step.done_when, step.owner))) > _WORDS_MAX:
            raise InvalidInput(f"{where}: {_WORDS_MAX} characters at most in each field")
        seen.add(step.id)
    return playbook


def attached(
    incident: Incident, playbook: Playbook, before: PlaybookRun | None, act: Act
) -> Change:
    """Attach it, or apply it again: steps that are there keep their ticks.

    Args:
        before: the same playbook, where it is attached already.
    """
    checked(playbook)
    if before is None:
        run = PlaybookRun(
            id=new_id(act.now),
            incidents=(incident.id,),
            playbook=playbook.id,
            playbook_version=playbook.version,
            title=playbook.title,
            created_at=act.now,
            created_by=act.actor.reference,
            steps=tuple(StepRun(step) for step in playbook.steps),
        )
        text = f"playbook attached: {playbook.title}, version {playbook.version}"
        return _kept(incident, run, text, act)
    run = merged(before, playbook)
    if run == before:
        raise InvalidInput(
            f'"{playbook.id}" is attached in this version already; nothing would change'
        )
    had = {one.step.id for one in before.steps}
    has = {one.step.id for one in run.steps if not one.retired}
    text = (
        f"playbook applied again: {playbook.title}, version {playbook.version}; "
        f"{len(has - had)} new steps, {len(had - has)} not in it any more"
    )
    return _kept(incident, run, text, act)


def merged(run: PlaybookRun, playbook: Playbook) -> PlaybookRun:
    """A run under another version of its playbook: the steps of the new one in its order, each with
    what was done under its id; and behind them those that went, where somebody had ended them.

    Raises:
        InvalidInput: an older version, or another playbook.
    """
    if playbook.id != run.playbook:
        raise InvalidInput(f'"{playbook.id}" is another playbook than "{run.playbook}"')
    if playbook.version < run.playbook_version:
        raise InvalidInput(
            f"version {run.playbook_version} is attached; {playbook.version} is older"
        )
    known = {one.step.id: one for one in run.steps}
    steps = [
        msgspec.structs.replace(known[step.id], step=step, retired=False)
        if step.id in known
        else StepRun(step)
        for step in playbook.steps
    ]
    kept = {step.id for step in playbook.steps}
    gone = [
        msgspec.structs.replace(one, retired=True)
        for one in run.steps
        if one.step.id not in kept and one.state != "open"
    ]
    return msgspec.structs.replace(
        run,
        playbook_version=playbook.version,
        title=playbook.title,
        steps=(*steps, *gone),
    )


def step_moved(
    incident: Incident, run: PlaybookRun, step_id: str, state: StepState, act: Act
) -> Change:
    """Tick a step, skip it with a reason, or open it again with one."""
    before = _step(run, step_id)
    blockers = [] if state == "done" else wanted_reason(act)
    if before.state == state:
        blockers.append(Blocker("step", "state", f"it is {before.state} already"))
    if before.retired:
        blockers.append(Blocker("step", "retired", "this version has it no more"))
    refuse(f'change step "{step_id}"', blockers)
    ended = state != "open"
    after = msgspec.structs.replace(
        before,
        state=state,
        by=act.actor.reference if ended else "",
        at=act.happened_at if ended else None,
        reason=act.reason if ended else "",
    )
    text = f"{run.title}: {before.step.title}: {_DONE[state]}"
    return _kept(incident, _with(run, after), text, act, {"step": step_id, "state": state})


def step_assigned(
    incident: Incident, run: PlaybookRun, step_id: str, owner: str, act: Act
) -> Change:
    """Somebody has a step from now on."""
    if not owner.strip():
        raise InvalidInput("owner: name the person who has it from now on")
    before = _step(run, step_id)
    after = msgspec.structs.replace(before, owner=owner.strip())
    text = f"{run.title}: {before.step.title}: {after.owner} has it"
    return _kept(incident, _with(run, after), text, act, {"step": step_id, "owner": after.owner})


def owner_of(incident: Incident, one: StepRun) -> str:
    """Who has a step: the person who took it, else who holds its role, else the role."""
    if one.owner:
        return one.owner
    holders = [
        term.person
        for term in incident.roles
        if term.role == one.step.owner and term.renounced_at is None
    ]
    return ", ".join(holders) or one.step.owner


def command_of(incident: Incident, step: PlaybookStep) -> str:
    """What to type, with this incident's reference in it."""
    return re.sub(r"\bINC\b", incident.reference, step.command)


def _step(run: PlaybookRun, step_id: str) -> StepRun:
    for one in run.steps:
        if one.step.id == step_id:
            return one
    known = ", ".join(one.step.id for one in run.steps)
    raise NotFound(f'this playbook has no step "{step_id}"; it has {known}')


def _with(run: PlaybookRun, step: StepRun) -> PlaybookRun:
    steps = tuple(step if one.step.id == step.step.id else one for one in run.steps)
    return msgspec.structs.replace(run, steps=steps)


def _kept(
    incident: Incident,
    run: PlaybookRun,
    text: str,
    act: Act,
    detail: dict[str, Any] | None = None,
) -> Change:
    about = {"playbook": run.playbook, "playbook_version": run.playbook_version}
    told = entry(incident, "playbook", text, act, detail={**about, **(detail or {})})
    return changed(incident, [told], act, keep=[run])
