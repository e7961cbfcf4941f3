"""The one scale of strictness that every rule, decision and record uses."""

from __future__ import annotations

from enum import Enum


class Verdict(Enum):
    """What was decided, in rising strictness; the strictest finding wins.

    Stored and shown in the present tense (``block``). The SQL view and the metric label keep the
    past tense (``blocked``), see :attr:`past`.
    """

    ALLOW = "allow"
    FLAG = "flag"
    TRANSFORM = "transform"
    REDACT = "redact"
    ESCALATE = "escalate"
    QUARANTINE = "quarantine"
    BLOCK = "block"

    @property
    def strictness(self) -> int:
        """Position on the scale: 0 for allow, 6 for block."""
        return _STRICTNESS[self]

    @property
    def past(self) -> str:
        """Past tense, as the documents' SQL and metrics query it: ``blocked``."""
        return _PAST[self]

    @property
    def stops(self) -> bool:
        """Whether normal delivery ends here."""
        return self.strictness >= _STRICTNESS[Verdict.ESCALATE]

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


_STRICTNESS = {verdict: rank for rank, verdict in enumerate(Verdict)}

_PAST = {
    Verdict.ALLOW: "allowed",
    Verdict.FLAG: "flagged",
    Verdict.TRANSFORM: "transformed",
    Verdict.REDACT: "redacted",
    Verdict.ESCALATE: "escalated",
    Verdict.QUARANTINE: "quarantined",
    Verdict.BLOCK: "blocked",
}

# Accepted on input only; CONTRACT §1. One canonical word is stored and shown.
_SYNONYMS = {
    Verdict.ALLOW: ("pass",),
    Verdict.FLAG: ("log", "observe"),
    Verdict.TRANSFORM: ("modified", "rewrite"),
    Verdict.REDACT: (),
    Verdict.ESCALATE: (),
    Verdict.QUARANTINE: (),
    Verdict.BLOCK: ("deny", "denied"),
}

_ACCEPTED = {
    word: verdict
    for verdict in Verdict
    for word in (verdict.value, verdict.past, *_SYNONYMS[verdict])
}
