"""What an answer repeats of its request.

The responses API sends instructions, tools and metadata back with every answer. A policy about what
a model says must not find its own instructions there, and the caller knows them already: what is
repeated word for word was judged with the request. Evidence masks it as it masked it there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kintsugi.gateway.dialects.splice import apply_edits
from kintsugi.model.content import Edit, Part

# Whoever else speaks in an answer can only be repeated.
_SPEAKERS = frozenset(("assistant", "tool", "function"))


class Repeated:
    """The texts of one request, as upstream got them.

    Args:
        edits: made in the request before it was sent.
        masks: what evidence must not show of it, edits included.
    """

    def __init__(self, parts: Sequence[Part], edits: Sequence[Edit], masks: Sequence[Edit]) -> None:
        self._masks: dict[str, list[Edit]] = {}
        edited = _by_path(edits)
        masked = _by_path(masks)
        for part in parts:
            own = edited.get(part.path)
            if own is None:
                self._masks.setdefault(part.text, []).extend(masked.get(part.path, ()))
            elif own == masked.get(part.path):  # nothing else in it has to be masked
                self._masks.setdefault(apply_edits(part.text, own), [])

    def holds(self, part: Part) -> bool:
        """Whether a part of the answer says again what the request said."""
        return part.role not in _SPEAKERS and part.text in self._masks

    def masks(self, parts: Iterable[Part]) -> tuple[Edit, ...]:
        """The request's masks at the places where the answer repeats it."""
        return tuple(
            Edit(part.path, mask.start, mask.end, mask.replacement)
            for part in parts
            if self.holds(part)
            for mask in self._masks[part.text]
        )


def may_repeat(parts: Iterable[Part]) -> bool:
    """Whether some part of an answer could repeat the request at all; most answers have none."""
    for part in parts:  # noqa: SIM110 - asked of every answer, and a generator costs twice as much
        if part.role not in _SPEAKERS:
            return True
    return False


def _by_path(edits: Sequence[Edit]) -> dict[str, list[Edit]]:
    found: dict[str, list[Edit]] = {}
    for edit in edits:
        found.setdefault(edit.path, []).append(edit)
    return found
