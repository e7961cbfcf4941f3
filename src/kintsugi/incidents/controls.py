"""Which controls caught an incident's events, which let them pass, and which did not run. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from kintsugi.model.reach import Extent, Judged

Word = Literal["caught", "only watched", "let pass", "failed", "did not run"]
_STOPS: Final = frozenset({"block", "quarantine", "escalate"})
_ACTS: Final = frozenset({"redact", "transform"})
_PHASES: Final = ("route", "input", "tool", "output", "audit")


class Control(msgspec.Struct, frozen=True):
    """One policy in one phase, over the incident's events.

    Attributes:
        word: the best that it did: ``caught`` (it stopped or changed some), ``only watched`` (it
            matched, in monitor mode or with flag), ``failed`` (it raised), ``let pass`` (it saw
            nothing), ``did not run``.
        matched, clear, skipped, errors: events by outcome; ``monitored`` of the matched ones had
            no effect.
        caught: events that it stopped or changed.
    """

    policy: str
    phase: str
    word: Word
    matched: int
    clear: int
    skipped: int
    errors: int
    monitored: int
    caught: int


class Controls(msgspec.Struct, frozen=True):
    """What failed and what worked.

    Attributes:
        caught_in: events that were stopped or changed, by phase, in the order of an exchange: what
            a later phase caught an earlier one had let pass.
        went_through: events that no policy stopped.
    """

    events: int
    controls: tuple[Control, ...]
    caught_in: dict[str, int]
    went_through: int


def controls_of(judged: Sequence[Judged], extent: Extent) -> Controls:
    """What each control did, in the order of an exchange."""
    grouped: dict[tuple[str, str], list[Judged]] = {}
    for one in judged:
        grouped.setdefault((one.phase, one.policy_name), []).append(one)
    controls = [_control(phase, policy, some) for (phase, policy), some in grouped.items()]
    controls.sort(key=lambda one: (_PHASES.index(one.phase), one.policy))
    caught_in = {
        phase: total
        for phase in _PHASES
        if (total := sum(one.caught for one in controls if one.phase == phase))
    }
    stopped = ("blocked", "quarantined", "escalated")
    verdicts = extent.of("verdict").named
    through = extent.events - sum(one.events for one in verdicts if one.name in stopped)
    return Controls(extent.events, tuple(controls), caught_in, through)


def _control(phase: str, policy: str, some: Sequence[Judged]) -> Control:
    def count(outcome: str) -> int:
        return sum(one.events for one in some if one.outcome == outcome)

    caught = sum(one.events for one in some if one.result in _STOPS | _ACTS)
    matched = count("matched")
    monitored = sum(
        one.events for one in some if one.outcome == "matched" and one.result not in _STOPS | _ACTS
    )
    errors, clear = count("error"), count("clear")
    if caught:
        word: Word = "caught"
    elif matched:
        word = "only watched"
    elif errors:
        word = "failed"
    else:
        word = "let pass" if clear else "did not run"
    return Control(policy, phase, word, matched, clear, count("skipped"), errors, monitored, caught)
