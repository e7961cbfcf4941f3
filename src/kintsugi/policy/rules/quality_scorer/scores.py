"""What can be said of an answer's quality by looking at it: six scores in [0, 1], 1 is good.

None of them tells whether the answer is right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from kintsugi.policy.prose import Span, sentences, without_code

_WORD = re.compile(r"\w+(?:['’-]\w+)*")
_REFUSAL = re.compile(
    r"(?i)\b(?:i(?:'m| am) (?:sorry|unable|not able|afraid)"
    r"|i (?:can(?:'t|not)|could not|won'?t|will not|must decline)"
    r"|i (?:do not|don'?t) have (?:access|the ability|enough information)"
    r"|as an ai(?: language)? model"
    r"|es tut mir leid|ich kann (?:(?:dir|ihnen|das|dabei|leider) ){0,2}nicht"
    r"|je ne peux pas|je suis désolée?|lo siento|no puedo"
    r"|mi dispiace|non posso|sinto muito|não posso"
    r"|het spijt me|ik kan (?:(?:dit|dat|u|je) )?niet)"
)
_REFUSAL_CHARS = 160
_REFUSAL_WORDS = 80
_RUN = 4
_REPETITION_WORDS_MIN = 24
# Chat templates, placeholders and broken characters that belong into no answer.
_LEAKED = re.compile(
    r"<\|[a-z_]{2,20}\|>|\[/?INST\]|</?s>|<<SYS>>|\ufffd|\{\{\s?[\w.]{1,40}\s?\}\}|"
    r"\[(?:INSERT|YOUR|PLACEHOLDER)[^\]\n]{0,40}\]|â€[™œ\u009d]|Ã[©¨¤¶¼]"
)
_FENCE = re.compile(r"^[ \t]{0,3}```", re.MULTILINE)
_LIST_ITEM = re.compile(r"(?:^|\n)[ \t]*(?:[-*•+]|\d{1,3}[.)])[ \t]+[^\n]*\Z")
_HEADING_OR_WORD_MAX = 12
# LIX: 25 reads like a children's book, 40 like a newspaper, 60 like a statute.
_LIX_EASY = 50.0
_LIX_UNREADABLE = 100.0
_LONG_WORD = 7
_READABILITY_WORDS_MIN = 30


class Bounds:
    """What the configuration and the request ask of an answer's length.

    Args:
        chars_max: 0 for no bound.
        cut_off: the answer has used every token that it was allowed.
    """

    def __init__(
        self, *, chars_min: int, chars_max: int, sentences_min: int, cut_off: bool
    ) -> None:
        self.chars_min = chars_min
        self.chars_max = chars_max
        self.sentences_min = sentences_min
        self.cut_off = cut_off


class Looked:
    """An answer, taken apart once for all scores."""

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        self.prose = without_code(self.text)
        self.words = [word.casefold() for word in _WORD.findall(self.prose)]
        self.sentences: list[Span] = list(sentences(self.prose))


def length(answer: Looked, bounds: Bounds) -> float:
    """How near it comes to the least length and number of sentences; beyond the most, by how much
    it is too long."""
    chars = len(answer.text)
    if not chars:
        return 0.0
    score = 1.0
    if bounds.chars_min:
        score = min(score, chars / bounds.chars_min)
    if bounds.sentences_min:
        score = min(score, len(answer.sentences) / bounds.sentences_min)
    if bounds.chars_max:
        score = min(score, bounds.chars_max / chars)
    return score


def refusal(answer: Looked, bounds: Bounds) -> float:  # noqa: ARG001
    """0 where a short answer begins with declining, 0.5 where a longer one does, else 1."""
    if _REFUSAL.search(answer.text, 0, _REFUSAL_CHARS) is None:
        return 1.0
    return 0.0 if len(answer.words) <= _REFUSAL_WORDS else 0.5


def repetition(answer: Looked, bounds: Bounds) -> float:  # noqa: ARG001
    """Share of its runs of four words that are not repeated; 1 for short answers."""
    if len(answer.words) < _REPETITION_WORDS_MIN:
        return 1.0
    runs = list(zip(*(answer.words[at:] for at in range(_RUN)), strict=False))
    return len(set(runs)) / len(runs)


def truncation(answer: Looked, bounds: Bounds) -> float:
    """0 where it used up its tokens or a code block stays open, 0.5 where its last sentence does
    not end, else 1."""
    if bounds.cut_off or len(_FENCE.findall(answer.text)) % 2:
        return 0.0
    text = answer.text
    ends = not text or not text[-1].isalnum()
    short = len(answer.words) <= _HEADING_OR_WORD_MAX
    return 1.0 if ends or short or _LIST_ITEM.search(text, max(len(text) - 400, 0)) else 0.5


def layout(answer: Looked, bounds: Bounds) -> float:  # noqa: ARG001
    """Less by 0.5 for each kind of thing that belongs into no answer: signs of a chat template,
    placeholders, broken characters; brackets that do not close; an empty answer has none."""
    if not answer.text:
        return 0.0
    score = 1.0 - 0.5 * len({match[0][:2] for match in _LEAKED.finditer(answer.text)})
    opened, closed = answer.text.count("{"), answer.text.count("}")
    if answer.text.startswith(("{", "[")) and opened != closed:
        score -= 0.5
    return max(score, 0.0)


def readability(answer: Looked, bounds: Bounds) -> float:  # noqa: ARG001
    """From LIX, words per sentence plus percent of words over six letters; 1 for short answers
    and where words are not set apart by blanks."""
    count = len(answer.words)
    if count < _READABILITY_WORDS_MIN:
        return 1.0
    long = sum(len(word) >= _LONG_WORD for word in answer.words)
    lix = count / max(len(answer.sentences), 1) + 100 * long / count
    return min(max((_LIX_UNREADABLE - lix) / (_LIX_UNREADABLE - _LIX_EASY), 0.0), 1.0)


SCORES: Mapping[str, Callable[[Looked, Bounds], float]] = MappingProxyType(
    {
        "length": length,
        "refusal": refusal,
        "repetition": repetition,
        "truncation": truncation,
        "format": layout,
        "readability": readability,
    }
)


def scored(text: str, bounds: Bounds) -> dict[str, float]:
    """Every score of one answer."""
    answer = Looked(text)
    return {name: round(score(answer, bounds), 3) for name, score in SCORES.items()}
