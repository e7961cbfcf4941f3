"""Waiting for what a gateway has still to ship."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from kintsugi.errors import ApiRefused, NotStoredYet

_LOOK_EVERY_SECONDS: Final = 0.5
_SAY_EVERY_SECONDS: Final = 5.0

WaitForEventOption = Annotated[
    float,
    typer.Option(
        "--wait-seconds", min=0, help="How long to wait for an event that is not stored yet."
    ),
]


def once_stored(
    ask: Callable[[], Any],
    *,
    wait_seconds: float,
    say: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> Any:
    """What ``ask`` returns, asked again while its event is not stored yet, for so long.

    Raises:
        ApiRefused: what the control plane said last.
    """
    began = said = clock()
    while True:
        try:
            return ask()
        except ApiRefused as refusal:
            waited = clock() - began
            if refusal.problem_code != NotStoredYet.code or waited >= wait_seconds:
                raise
            if not waited or clock() - said >= _SAY_EVERY_SECONDS:
                said = clock()
                say(f"{refusal}\nwaiting, {waited:.0f} s of {wait_seconds:.0f}")
        pause(_LOOK_EVERY_SECONDS)
