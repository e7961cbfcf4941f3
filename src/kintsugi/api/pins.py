"""What containments pin: a kept version of the policies, or a prompt of the workflow inventory.

What is pinned is kept where it stands already, in versions that never change. A containment names
it; its content goes along only where the containment is put to use.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Final, Literal

import msgspec

from kintsugi.errors import ConfigurationInvalid, InvalidInput, NotFound, StateConflict
from kintsugi.model.config import Config
from kintsugi.model.configurations import ConfigurationVersion
from kintsugi.model.containment import Containment, ContainmentScope, Lever
from kintsugi.model.stores import Stores
from kintsugi.model.workflow import Prompt
from kintsugi.policy.containment import pinned_config
from kintsugi.policy.diff import Difference, Direction, compare
from kintsugi.policy.parse import parse_config

#: Every gateway holds what is pinned, so it is bounded; `kt config rollback` takes any length.
PIN_CHARS_MAX: Final = 250_000
PINS_MAX: Final = 20
_NAMES = ("pin-policy", "pin-prompt")
_IN_FORCE_MAX: Final = 1000
# Pairs of what is pinned and what is newest; each takes some milliseconds to compare.
_COMPARED_MAX: Final = 64


class PinnedChange(msgspec.Struct, frozen=True):
    """What a pinned version does otherwise than the newest one."""

    path: str
    what: str
    direction: Direction


class Pinned(msgspec.Struct, frozen=True):
    """What is pinned, held against what is in force without it.

    Attributes:
        kind: ``policy`` or ``prompt``.
        name, version: of the configuration or of the prompt.
        revision: of what will decide; empty for prompts.
        compared_with: the newest version then, ``ID@V``; for a prompt the registration that its
            text stands in, ``NAME@V``, empty where only its version is pinned.
        weaker: some change is not known to make it stricter, so a second person has to agree.
    """

    kind: Literal["policy", "prompt"]
    name: str
    version: str
    revision: str = ""
    compared_with: str = ""
    weaker: bool = False
    changes: tuple[PinnedChange, ...] = ()


def pinned_by(
    stores: Stores, lever: Lever, scope: ContainmentScope
) -> tuple[Lever, Pinned | None, Config | None]:
    """A lever that knows all about what it pins; what that is; and the newest configuration that it
    will be put in force with, where it has to do with one. Other levers come back as they are.

    Raises:
        InvalidInput: there is no such version, or it cannot be put in force now.
    """
    if lever.name == "pin-policy" and lever.config_version:
        return _policy(stores, lever)
    if lever.name == "pin-prompt" and lever.prompt:
        lever, found = _prompt(stores, lever, scope)
        return lever, found, None
    return lever, None, None


def check_room(stores: Stores, lever: Lever, *, now: datetime) -> None:
    """Raises:
    StateConflict: so much is pinned that gateways cannot be asked to hold more.
    """
    if lever.name not in _NAMES:
        return
    in_force = stores.containments.in_force(now=now, limit=_IN_FORCE_MAX)
    if sum(one.lever.name in _NAMES for one in in_force) >= PINS_MAX:
        raise StateConflict(
            f"{PINS_MAX} versions are pinned already; release one, or roll the configuration back"
        )


def with_content(stores: Stores, containment: Containment) -> Containment:
    """A containment with what it pins."""
    lever = containment.lever
    content = ""
    if lever.name == "pin-policy":
        content = version_named(stores, lever.config_version).content
    elif lever.name == "pin-prompt" and lever.workflow_version:
        kept = stores.workflows.get(containment.scope.workflow, lever.workflow_version)
        content = next((one.text for one in kept.prompts if _is_named(one, lever)), "")
    if not content:
        return containment
    return msgspec.structs.replace(
        containment, lever=msgspec.structs.replace(lever, content=content)
    )


def is_weaker_now(stores: Stores, lever: Lever) -> bool:
    """Whether it pins a version that is not known to be as strict as the newest one is now."""
    if lever.name != "pin-policy":
        return False
    try:
        kept = version_named(stores, lever.config_version)
        newest = stores.configurations.get(kept.id)
    except NotFound:  # restored from a backup that is older than it
        return True
    return _weaker_than(newest.content, kept.content)


def version_named(stores: Stores, name: str) -> ConfigurationVersion:
    """A version of a configuration by ``ID@V``.

    Raises:
        InvalidInput: it is no such name.
        NotFound: it is not kept here.
    """
    config_id, _, version = name.rpartition("@")
    if not config_id or not version.isdecimal() or len(version) > 9:
        raise InvalidInput(
            f'"{name}" is no version of a configuration that is kept here; write ID@NUMBER'
        )
    return stores.configurations.get(config_id, int(version))


def _policy(stores: Stores, lever: Lever) -> tuple[Lever, Pinned, Config]:
    try:
        kept = version_named(stores, lever.config_version)
        newest = stores.configurations.get(kept.id)
        wanted, now = parse_config(kept.content), parse_config(newest.content)
    except (InvalidInput, NotFound, ConfigurationInvalid) as error:
        raise InvalidInput(f"body.lever.config_version: {error}") from None
    _check_length(kept.content, "body.lever.config_version")
    difference = compare(now, pinned_config(wanted, now))
    weaker = _is_weaker(difference)
    found = Pinned(
        "policy",
        kept.id,
        str(kept.version),
        difference.after,
        f"{newest.id}@{newest.version}",
        weaker,
        tuple(PinnedChange(one.path, one.what, one.direction) for one in difference.changes),
    )
    full = msgspec.structs.replace(lever, weaker=weaker, content=kept.content)
    return full, found, now


def _is_weaker(difference: Difference) -> bool:
    """What is only different cannot be told to be as strict."""
    return any(one.direction != "tightened" for one in difference.changes)


@lru_cache(_COMPARED_MAX)
def _weaker_than(newest: str, kept: str) -> bool:
    try:
        now, wanted = parse_config(newest), parse_config(kept)
    except ConfigurationInvalid:
        return True
    return _is_weaker(compare(now, pinned_config(wanted, now)))


def _prompt(stores: Stores, lever: Lever, scope: ContainmentScope) -> tuple[Lever, Pinned]:
    name = scope.workflow
    if not name or "*" in name:
        raise InvalidInput(
            "body.scope.workflow: a prompt is pinned for one workflow of the inventory; name it"
        )
    if not lever.prompt_version:
        raise InvalidInput("body.lever.prompt_version: say which version of the prompt")
    try:
        newest = stores.workflows.get(name)
    except NotFound as error:
        raise InvalidInput(f"body.scope.workflow: {error}") from None
    registered = stores.workflows.versions(newest.name)
    named = [
        (kept.version, part)
        for kept in registered
        for part in kept.prompts
        if _is_named(part, lever)
    ]
    if not named:
        known = sorted(
            {f"{part.name} {part.version}" for kept in registered for part in kept.prompts}
        )
        raise InvalidInput(
            f'body.lever.prompt: no registration of "{newest.name}" has {lever.prompt} '
            f"{lever.prompt_version}; known: {', '.join(known[:20]) or 'none'}"
        )
    version, text = next(((at, part.text) for at, part in named if part.text), (0, ""))
    _check_length(text, "body.lever.prompt")
    found = Pinned(
        "prompt",
        lever.prompt,
        lever.prompt_version,
        compared_with=f"{name}@{version}" if version else "",
    )
    return msgspec.structs.replace(lever, workflow_version=version, content=text), found


def _is_named(part: Prompt, lever: Lever) -> bool:
    return (part.name, part.version) == (lever.prompt, lever.prompt_version)


def _check_length(content: str, where: str) -> None:
    if len(content) > PIN_CHARS_MAX:
        raise InvalidInput(
            f"{where}: it has {len(content):,} characters, and every gateway would hold it; at "
            f"most {PIN_CHARS_MAX:,} can be pinned"
        )
