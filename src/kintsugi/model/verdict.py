"""The one scale of strictness that every rule, decision and record uses."""

from __future__ import annotations

from enum import Enum


class Verdict(Enum):
    """What was decided, in rising strictness; the strictest finding wins.

    Stored and shown in the present tense (``block``). The SQL view and the metric label keep the
    past tense (``blocked``), see :attr:`past`.
    """

    # Word, past tense, what else is accepted on input (CONTRACT section 1).
    ALLOW = "allow", "allowed", ("pass",)
    FLAG = "flag", "flagged", ("log", "observe")
    TRANSFORM = "transform", "transformed", ("modified", "rewrite")
    REDACT = "redact", "redacted", ()
    ESCALATE = "escalate", "escalated", ()
    QUARANTINE = "quarantine", "quarantined", ()
    BLOCK = "block", "blocked", ("deny", "denied")

    # Plain attributes, not properties: they are read several times for each exchange.
    past: str
    synonyms: tuple[str, ...]
    strictness: int
    stops: bool

    # There is one of each, so that it is known by its place; ``Enum`` would ask for its name.
    __hash__ = object.__hash__

    def __new__(cls, word: str, past: str, synonyms: tuple[str, ...]) -> Verdict:
        """One member; its place in the list is its strictness, 0 for allow.

        ``past`` is what the documents' SQL and metrics query; ``stops`` tells whether normal
        delivery ends here.
        """
        verdict = object.__new__(cls)
        verdict._value_ = word
        verdict.past = past
        verdict.synonyms = synonyms
        verdict.strictness = len(cls.__members__)
        verdict.stops = word in ("escalate", "quarantine", "block")
        return verdict

    @classmethod
    def spellings(cls) -> tuple[str, ...]:
        """Every spelling that :meth:`parse` accepts, canonical ones first within each verdict."""
        return tuple(_ACCEPTED)

    @classmethod
    def parse(cls, word: str) -> Verdict:
        """Read any accepted spelling.

        Raises:
            ValueError: the word is no verdict; the message lists the canonical ones.
        """
        try:
            return _ACCEPTED[word.strip().lower()]
        except KeyError:
            known = ", ".join(verdict.value for verdict in cls)
            raise ValueError(f'unknown verdict "{word}"; use one of: {known}') from None


_ACCEPTED = {
    word: verdict
    for verdict in Verdict
    for word in (verdict.value, verdict.past, *verdict.synonyms)
}
