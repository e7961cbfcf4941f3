"""One rule's patterns, asked of texts that are no part of an exchange: decoded arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from kintsugi.model.content import Part
from kintsugi.policy.automata import Automaton, Sighting
from kintsugi.policy.encodings import TRIGGERS, readings
from kintsugi.policy.recogniser import RecogniserRule

Confirm = Callable[[str], bool]
_NOTHING: Mapping[str, Confirm] = MappingProxyType({})


class Probe:
    """Tells which of a rule's recognisers find something, in every reading of a text.

    Args:
        confirm: by name, what has the last word on a whole reading in which a pattern was seen.
    """

    def __init__(self, rule: RecogniserRule, confirm: Mapping[str, Confirm] = _NOTHING) -> None:
        self._rule = rule
        self._confirm = confirm
        self._first = len(TRIGGERS)
        self._automaton = Automaton([*TRIGGERS, *rule.patterns])

    def found(self, text: str) -> list[str]:
        """The names of what is found, without repeats."""
        hits = self._automaton.search(text.encode("utf-8", "replace"))
        if not hits and text.isascii():
            return []
        part = Part("assistant", "tool_call", text, "")
        names: dict[str, None] = {}
        for layer, seen in readings(text, hits, self._automaton, decodes=True):
            own = tuple(sorted(hit - self._first for hit in seen if hit >= self._first))
            if not own or not self._rule.reads(part, layer):
                continue
            sighting = Sighting(self._automaton, layer, own, first=self._first, start=0)
            for index in own:
                name = self._rule.patterns[index].name
                if name not in names and self._stands(sighting, index, name):
                    names[name] = None
        return list(names)

    def found_in(self, texts: Iterable[str]) -> list[str]:
        """The same for several texts as lines of one: a command may come word by word."""
        return self.found("\n".join(texts))

    def _stands(self, sighting: Sighting, index: int, name: str) -> bool:
        confirm = self._confirm.get(name)
        if confirm is not None:
            return confirm(sighting.layer.text)
        return next(self._rule.confirmed(sighting, index), None) is not None
