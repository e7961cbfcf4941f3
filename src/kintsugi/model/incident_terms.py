"""The terms by which incidents resemble each other: words, categories, labels."""

from __future__ import annotations

import re
from typing import Final

from kintsugi.model.incident import Incident

TERMS_MAX: Final = 100
#: So many of the newest incidents of each term are compared.
NEWEST: Final = 50
_WORD: Final = re.compile(r"\w{3,40}")
# Words that say nothing of what happened. Rare words weigh more anyway; these save looking.
_EMPTY: Final = frozenset(
    [
        "about",
        "after",
        "again",
        "all",
        "also",
        "and",
        "any",
        "are",
        "been",
        "before",
        "being",
        "but",
        "can",
        "could",
        "did",
        "does",
        "for",
        "from",
        "had",
        "has",
        "have",
        "her",
        "here",
        "his",
        "how",
        "incident",
        "into",
        "its",
        "model",
        "more",
        "most",
        "not",
        "now",
        "our",
        "out",
        "over",
        "she",
        "should",
        "some",
        "such",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "through",
        "was",
        "were",
        "what",
        "when",
        "where",
        "which",
        "while",
        "who",
        "why",
        "will",
        "with",
        "would",
        "you",
        "your",
    ]
)


def terms_of(incident: Incident) -> tuple[str, ...]:
    """``word:refund``, ``category:correctness``, ``label:cosai:jailbreak``; categories and labels
    first, then the words in their order, 100 at most."""
    words = _WORD.findall(f"{incident.title}\n{incident.summary}".casefold())
    terms = (
        *(f"category:{one}" for one in incident.categories),
        *(f"label:{one}" for one in incident.labels),
        *(f"word:{one}" for one in words if one not in _EMPTY and not one.isdecimal()),
    )
    return tuple(dict.fromkeys(terms))[:TERMS_MAX]
