"""One rule's patterns, asked of texts that are no part of an exchange: decoded arguments."""

from __future__ import annotations

from collections.abc import Sequence

from kintsugi.model.content import Part
from kintsugi.policy.automata import Automaton, Sighting
from kintsugi.policy.encodings import TRIGGERS, readings
from kintsugi.policy.rule import Rule


class Probe:
    """Finds what a rule of patterns would find, in every reading of a text."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._first = len(TRIGGERS)
        self._automaton = Automaton([*TRIGGERS, *rule.patterns])

    def found(self, text: str) -> list[str]:
        """The names of what is found, without repeats, in the order of the rule's patterns."""
        hits = self._automaton.search(text.encode("utf-8", "replace"))
        if not hits and text.isascii():
            return []
        part = Part("assistant", "tool_call", text, "")
        names: dict[str, None] = {}
        for layer, seen in readings(text, hits, self._automaton, decodes=True):
            own = tuple(sorted(hit - self._first for hit in seen if hit >= self._first))
            if own and self._rule.reads(part, layer):
                sighting = Sighting(self._automaton, layer, own, first=self._first, start=0)
                names.update((one.rule, None) for one in self._rule.examine(part, [sighting]))
        return list(names)

    def found_in(self, texts: Sequence[str]) -> list[str]:
        """The same for several texts."""
        return list(dict.fromkeys(name for text in texts for name in self.found(text)))
