"""Benign twins of a case: near it, and to come out the same on every configuration.

A fix that stops an attack by stopping everything around it breaks its twins. Where the case is an
over-block it is the other way round: its twins are attacks that must stay blocked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

import msgspec

from kintsugi.gateway.in_force import InForce
from kintsugi.model.config import Case, CaseExpected
from kintsugi.model.verdict import Verdict
from kintsugi.replay.leaks import harmless_answers
from kintsugi.replay.reproduction import run_one
from kintsugi.replay.results import CaseResult
from kintsugi.replay.variants import carriers, side_of

#: Fewer words in common is another subject.
SHARED_MIN: Final = 0.5
NEIGHBOURS_MAX: Final = 5

_WORD: Final = re.compile(r"\w+")
_QUOTE_CHARS_MAX: Final = 2_000

#: Talk about a text, instead of saying it.
FRAMES: Final = {
    "asked_about": (
        "A customer sent us the message below. In one sentence, why might it be a problem?\n\n"
        "> {}\n\nDo not follow it."
    ),
    "training_example": (
        "For our security training: which warning sign does this example show?\n\n“{}”"
    ),
    "report": "I want to report a message that I received. It says: “{}” Whom do I tell?",
}


class Neighbour(msgspec.Struct, frozen=True):
    """A recorded exchange as a case, and where it is from."""

    event_id: str
    case: Case


class Twin(msgspec.Struct, frozen=True):
    """A proposed twin.

    Attributes:
        technique: ``remainder``, ``neighbour``, the name of a frame, or one of ``STAND_INS``.
        event_id: of the recorded exchange that it is; empty for what was made up.
    """

    technique: str
    case: Case
    event_id: str = ""


class Twins(NamedTuple):
    """What was found.

    Attributes:
        proposed: those that come out as expected on both configurations.
        differing: how many did not, and are not proposed.
    """

    proposed: tuple[Twin, ...]
    differing: int


def twins(
    case: Case,
    *,
    minimised: Case,
    remainder: Case | None,
    neighbours: Sequence[Neighbour],
    red: InForce,
    green: InForce,
) -> Twins:
    """The twins of a case that come out the same on both configurations.

    Args:
        case: as it was recorded.
        minimised, remainder: what minimising left of it, and what it took away; the case itself
            and None where it was not minimised.
        neighbours: recorded exchanges, the nearest of which are taken: allowed ones, and for an
            over-block those that were blocked for the same reason.
        red, green: the configuration of the incident, and the one that puts it right.
    """
    made: list[Twin] = []
    expecting = _let_through
    if is_over_block(case):
        reason = run_one(red, case).reason_code
        expecting = partial(_acted_upon, reason_code=reason)
    else:
        made += [Twin("remainder", remainder)] if remainder is not None else []
        if side_of(run_one(green, case)) == "answer":
            made += _harmless(case, red, green)
        else:
            made += quotations(minimised)
    found = [*made, *nearest(case, neighbours)]
    proposed = [twin for one in found if (twin := _same(one, expecting, red, green)) is not None]
    return Twins(tuple(proposed), len(found) - len(proposed))


def is_over_block(case: Case) -> bool:
    """Whether a case expects to be let through."""
    verdict = case.expected.verdict
    return verdict is not None and Verdict.parse(verdict) is Verdict.ALLOW


def nearest(case: Case, neighbours: Sequence[Neighbour]) -> Iterator[Twin]:
    """The neighbours that share the most words with a case, without those that say the same."""
    words = _words(case)
    seen = {frozenset(words)}
    scored = sorted(
        ((_shared(words, _words(one.case)), number) for number, one in enumerate(neighbours)),
        key=lambda pair: (-pair[0], pair[1]),
    )
    left = NEIGHBOURS_MAX
    for share, number in scored:
        one = neighbours[number]
        said = frozenset(_words(one.case))
        if share < SHARED_MIN or not left:
            return
        if said not in seen:
            seen.add(said)
            left -= 1
            yield Twin("neighbour", one.case, one.event_id)


def quotations(minimised: Case) -> Iterator[Twin]:
    """The trigger as something that is talked about, in every frame; none where it is long."""
    parts, texts = carriers(minimised, "request")
    if not texts or sum(map(len, texts.values())) > _QUOTE_CHARS_MAX:
        return
    for name, frame in FRAMES.items():
        said = {path: frame.replace("{}", text.strip()) for path, text in texts.items()}
        framed = parts.without((), said)
        if framed is not None:
            yield Twin(name, framed)


def _harmless(case: Case, red: InForce, green: InForce) -> Iterator[Twin]:
    """The same question, answered without what leaked."""

    def is_let_through(changed: Case) -> bool:
        return _same(Twin("", changed), _let_through, red, green) is not None

    for technique, changed in harmless_answers(case, is_let_through):
        yield Twin(technique, changed)


def _same(
    twin: Twin,
    expecting: Callable[[CaseResult], CaseExpected | None],
    red: InForce,
    green: InForce,
) -> Twin | None:
    """A twin that expects what the configuration of the incident makes of it; None where that is
    not what a twin is for, or the other configuration makes something else of it."""
    expected = expecting(run_one(red, twin.case))
    if expected is None:
        return None
    case = msgspec.structs.replace(twin.case, expected=expected)
    if not run_one(green, case).passed:
        return None
    return msgspec.structs.replace(twin, case=case)


def _let_through(result: CaseResult) -> CaseExpected | None:
    if not result.verdict or Verdict.parse(result.verdict).stops:
        return None
    return CaseExpected(result.verdict)


def _acted_upon(result: CaseResult, *, reason_code: str) -> CaseExpected | None:
    if result.verdict == Verdict.ALLOW.value or result.reason_code != reason_code:
        return None
    return CaseExpected(result.verdict, result.reason_code)


def _words(case: Case) -> set[str]:
    return {
        word
        for text in carriers(case, "request")[1].values()
        for word in _WORD.findall(text.casefold())
    }


def _shared(one: set[str], other: set[str]) -> float:
    """Words in common over words in all; 0 where there are none."""
    return len(one & other) / len(one | other) if one or other else 0.0
