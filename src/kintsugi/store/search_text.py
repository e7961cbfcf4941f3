"""What full-text search looks at: the words that people and models wrote, not the wire around them.

A recorded payload is wire text. Indexing it as it is would find ``role`` and ``content`` in every
event and miss every word that a stream cut in two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from kintsugi.model.event import Payload

CHARS_MAX = 200_000
_DATA = re.compile(r"^data:[ ]?(.*)$", re.MULTILINE)
# Members that carry what was said; the rest of a frame is ids, object names and counters.
_SPOKEN = frozenset(
    {
        "content",
        "text",
        "input",
        "instructions",
        "system",
        "output",
        "arguments",
        "partial_json",
        "reasoning",
        "reasoning_content",
        "thinking",
        "refusal",
        "delta",
        "description",
        "name",
        "message",
    }
)
_QUOTED = re.compile(r'"([^"]*)"')
_WORD = re.compile(r"\w+")


def searchable_text(payload: Payload) -> str:
    """Everything said in both directions, a line per string; empty when nothing was recorded.

    A side that is neither JSON nor a stream of JSON frames is taken as it stands, so that a
    malformed request can still be found by what it held.
    """
    sides = (_said(payload.request), _said(payload.response))
    # NUL cannot be stored in a text column and separates words as well as a space does.
    return "\n".join(side[:CHARS_MAX] for side in sides if side).replace("\x00", " ")


def parse_search(q: str) -> list[list[str]]:
    """The phrases in a search, each a list of words in order; a bare word is a phrase of one.

    All of them must match. Empty when ``q`` holds no word at all, which matches nothing.
    """
    phrases = [_WORD.findall(quoted.lower()) for quoted in _QUOTED.findall(q)]
    bare = _QUOTED.sub(" ", q).replace('"', " ")
    phrases += [_WORD.findall(chunk.lower()) for chunk in bare.split()]
    return [phrase for phrase in phrases if phrase]


def _said(wire: str) -> str:
    if not wire:
        return ""
    if (whole := _decoded(wire)) is not None:
        return "\n".join(text for _, text in _strings(whole, ()))
    frames = [frame for data in _DATA.findall(wire) if (frame := _decoded(data)) is not None]
    if not frames:
        return wire
    joined: dict[tuple[str, ...], list[str]] = {}
    for frame in frames:
        for place, text in _strings(frame, _index_of(frame)):
            joined.setdefault(place, []).append(text)
    return "\n".join("".join(texts) for texts in joined.values())


def _decoded(text: str) -> Any:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def _index_of(frame: Any) -> tuple[str, ...]:
    """Frames of different content blocks are told apart by their own ``index`` or ``item_id``."""
    if not isinstance(frame, dict):
        return ()
    return tuple(str(frame[key]) for key in ("index", "item_id", "output_index") if key in frame)


def _strings(value: Any, place: tuple[str, ...], spoken: bool = False) -> Iterator[Any]:
    """Strings below a spoken member, with a place that is equal for pieces of one text."""
    if isinstance(value, str):
        if spoken:
            yield place, value
    elif isinstance(value, list):
        for number, item in enumerate(value):
            index = item.get("index", number) if isinstance(item, dict) else number
            yield from _strings(item, (*place, str(index)), spoken)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _strings(item, (*place, key), key in _SPOKEN or _free_form(place, spoken))


def _free_form(place: tuple[str, ...], spoken: bool) -> bool:
    """Tool arguments given as an object are spoken whatever their members are called."""
    return spoken and bool(place) and place[-1] in {"input", "arguments"}
