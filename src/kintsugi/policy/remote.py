"""What another machine said about an exchange: asked before the decision, read here.

An answer that did not come, or cannot be read, is an error of the rule that asked: its ``on_error``
verdict stands in.
"""

from __future__ import annotations

from typing import Any

import msgspec

from kintsugi.model.config import Config
from kintsugi.model.facts import Facts
from kintsugi.policy.diagnostics import listed, nearest
from kintsugi.policy.rule import OptionInvalid

_TIMEOUT_SECONDS_MIN = 0.05
_TIMEOUT_SECONDS_MAX = 30.0


class RemoteFailed(Exception):
    """The machine could not be reached, or did not answer with success."""


class RemoteTimeout(RemoteFailed):
    """The machine did not answer in time."""


class RemoteUnreadable(RemoteFailed):
    """The machine answered with something that has no meaning here."""


def answer_of(facts: Facts, key: str) -> Any:
    """The JSON that a machine answered with.

    Raises:
        RemoteFailed: it did not answer, or not with JSON.
        KeyError: it was not asked.
    """
    answer = facts.remote[key]
    if "timeout" in answer.error:  # of the connection, of the first byte, of the whole
        raise RemoteTimeout
    if answer.error:
        raise RemoteFailed(answer.error)
    try:
        return msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise RemoteUnreadable from None


def at_pointer(document: Any, pointer: str) -> Any:
    """The value at a JSON pointer (RFC 6901); None where there is none."""
    found = document
    for token in pointer.split("/")[1:]:
        step = token.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(step)
        elif isinstance(found, list) and step.isdecimal() and int(step) < len(found):
            found = found[int(step)]
        else:
            return None
    return found


def check_target(target_id: str, config: Config, path: str) -> None:
    """Raises:
    OptionInvalid: the configuration has no such target.
    """
    known = [target.id for target in config.targets]
    if target_id not in known:
        raise OptionInvalid(
            path,
            f'there is no target "{target_id}"' if target_id else "is missing",
            f"name one of providers.targets: {listed(known)}" if known else _DECLARE,
            nearest(target_id, known),
        )


_DECLARE = "declare one under providers.targets: {id: ..., provider: ..., base_url: ...}"


def check_pointer(pointer: str, path: str) -> None:
    """Raises:
    OptionInvalid: no JSON pointer.
    """
    if pointer and not pointer.startswith("/"):
        raise OptionInvalid(path, f'"{pointer}" is no JSON pointer', f'write "/{pointer}"')


def check_timeout(seconds: float, path: str = "timeout_seconds") -> None:
    """Raises:
    OptionInvalid: the time is out of range.
    """
    if not _TIMEOUT_SECONDS_MIN <= seconds <= _TIMEOUT_SECONDS_MAX:
        raise OptionInvalid(
            path,
            f"{seconds:g} is out of range",
            f"use {_TIMEOUT_SECONDS_MIN:g} to {_TIMEOUT_SECONDS_MAX:g}",
        )
