"""Full text: which words a recorded payload holds, and what a search asks for.

A payload is wire text. Indexing it as it is would find ``role`` and ``content`` in every event and
miss every word that a stream cut in two, so the words that people and models wrote are taken out of
it first. Words are made here rather than by the database's own parser: the result does not depend
on its locale, and a double in memory finds exactly the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from kintsugi.model.event import Payload

# A position in a tsvector counts to 16,383 and a word holds at most 2,046 bytes.
WORDS_MAX: Final = 16_000
_WORD_CHARS_MAX: Final = 500
_WORD = re.compile(r"\w+")
_QUOTED = re.compile(r'"([^"]*)"')
_DATA = re.compile(r"^data:[ ]?(.*)$", re.MULTILINE)
# Members that carry what was said; the rest of a frame is ids, object names and counters.
_SPOKEN: Final = frozenset(
    {"arguments", "content", "delta", "description", "input", "instructions", "message", "name"}
    | {"output", "partial_json", "reasoning", "reasoning_content", "refusal", "system"}
    | {"text", "thinking"}
)

Words = list[str]


def payload_words(payload: Payload) -> Words:
    """Every word said in both directions, in order, in lower case, at most ``WORDS_MAX``.

    A side that is neither JSON nor a stream of JSON frames is taken as it stands, so that a
    malformed request can still be found by what it held.
    """
    found: Words = []
    for side in (payload.request, payload.response):
        for text in _said(side):
            found += words_in(text)
            if len(found) >= WORDS_MAX:
                return found[:WORDS_MAX]
    return found


def words_in(text: str) -> Words:
    """The words of a text in lower case; all but the first 500 characters of one are dropped."""
    return [word[:_WORD_CHARS_MAX] for word in _WORD.findall(text.lower())]


def parse_search(q: str) -> list[Words]:
    """The phrases of a search, each a list of words in order; a bare word is a phrase of one.

    All of them must match. Empty when ``q`` holds no word at all, which matches nothing.
    """
    phrases = [words_in(quoted) for quoted in _QUOTED.findall(q)]
    phrases += [words_in(chunk) for chunk in _QUOTED.sub(" ", q).split()]
    return [phrase for phrase in phrases if phrase]


def to_tsvector(words: Words) -> str:
    """PostgreSQL's literal for a document: ``'leak':3 'the':1,2``. Words need no quoting."""
    places: dict[str, list[str]] = {}
    for number, word in enumerate(words, start=1):
        places.setdefault(word, []).append(str(number))
    return " ".join(f"'{word}':{','.join(at[:255])}" for word, at in places.items())


def to_tsquery(phrases: list[Words]) -> str:
    """PostgreSQL's literal for a search: ``('data' <-> 'leak') & 'ssn'``; empty finds nothing."""
    return " & ".join(
        "(" + " <-> ".join(f"'{word}'" for word in phrase) + ")" for phrase in phrases
    )


def _said(wire: str) -> Iterator[str]:
    if not wire:
        return
    if (whole := _decoded(wire)) is not None:
        yield from (text for _, text in _strings(whole, ()))
        return
    frames = [frame for data in _DATA.findall(wire) if (frame := _decoded(data)) is not None]
    if not frames:
        yield wire
        return
    pieces: dict[tuple[str, ...], list[str]] = {}
    for frame in frames:
        for place, text in _strings(frame, _block_of(frame)):
            pieces.setdefault(place, []).append(text)
    yield from ("".join(texts) for texts in pieces.values())


def _decoded(text: str) -> Any:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def _block_of(frame: Any) -> tuple[str, ...]:
    """Frames of different content blocks are told apart by numbers of their own."""
    if not isinstance(frame, dict):
        return ()
    return tuple(str(frame[key]) for key in ("index", "item_id", "output_index") if key in frame)


def _strings(
    value: Any, place: tuple[str, ...], *, spoken: bool = False
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Texts below a spoken member, with a place that is equal for the pieces of one text."""
    if isinstance(value, str):
        if spoken:
            yield place, value
    elif isinstance(value, list):
        for number, item in enumerate(value):
            index = item.get("index", number) if isinstance(item, dict) else number
            yield from _strings(item, (*place, str(index)), spoken=spoken)
    elif isinstance(value, dict):
        # The arguments of a tool may be named anything.
        free = place[-1:] in {("input",), ("arguments",)}
        for key, item in value.items():
            yield from _strings(item, (*place, key), spoken=key in _SPOKEN or (spoken and free))
