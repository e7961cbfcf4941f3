"""The same answer without what leaked: benign twins of a case whose trouble is in the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Final

from kintsugi.model.config import Case
from kintsugi.replay.case_parts import CaseParts, Path
from kintsugi.replay.made_up import candidates
from kintsugi.replay.minimise import smallest
from kintsugi.replay.text_pieces import words
from kintsugi.replay.variants import carriers

TESTS_MAX: Final = 1_000
# Letters and digits of our own can make what a detector finds too: a number whose checksum holds.
_MADE_UP_TRIED: Final = 3

StandIn = Callable[[str], str]
_Word = tuple[Path, int]


def harmless_answers(
    case: Case, is_let_through: Callable[[Case], bool]
) -> Iterator[tuple[str, Case]]:
    """The case with as few words of its answer as possible replaced by made-up ones of the same
    shape, and with as few as possible taken out, so that it is let through; by technique. None
    where nothing of the answer would stay.
    """
    for technique, stand_ins in STAND_INS.items():
        found = (one for each in stand_ins if (one := _without_leak(case, each, is_let_through)))
        yield from ((technique, one) for one in islice(found, 1))


def _without_leak(
    case: Case, stand_in: StandIn, is_let_through: Callable[[Case], bool]
) -> Case | None:
    """None where even an answer of nothing else is stopped, or where nothing of it would stay."""
    parts, texts = carriers(case, "answer")
    said = {path: words(text) for path, text in texts.items()}
    everything = [(path, at) for path, pieces in said.items() for at in range(len(pieces))]
    left = TESTS_MAX

    def changed(chosen: Sequence[_Word]) -> Case | None:
        return _changed(parts, said, frozenset(chosen), stand_in)

    def holds(chosen: Sequence[_Word]) -> bool:
        nonlocal left
        left -= 1
        made = changed(chosen) if left >= 0 else None
        return made is not None and is_let_through(made)

    if not everything or not holds(everything):
        return None
    chosen = smallest(everything, holds)
    return changed(chosen) if 0 < len(chosen) < len(everything) else None


def _changed(
    parts: CaseParts, said: Mapping[Path, list[str]], chosen: frozenset[_Word], stand_in: StandIn
) -> Case | None:
    texts = {
        path: "".join(
            stand_in(piece) if (path, at) in chosen else piece for at, piece in enumerate(pieces)
        )
        for path, pieces in said.items()
    }
    return parts.without((), texts)


def _made_up(number: int) -> StandIn:
    def stand_in(word: str) -> str:
        return next(islice(candidates("", word), number, None), word)

    return stand_in


#: By technique; the first that is let through is taken of each.
STAND_INS: Final[Mapping[str, tuple[StandIn, ...]]] = MappingProxyType(
    {
        "leak_replaced": tuple(map(_made_up, range(_MADE_UP_TRIED))),
        "leak_removed": (lambda _: "",),
    }
)
