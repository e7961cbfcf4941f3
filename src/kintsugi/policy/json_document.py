"""Strict JSON into the same positioned tree as YAML."""

from __future__ import annotations

import json
from typing import Any

from kintsugi.model.config import Position
from kintsugi.policy.diagnostics import Problems
from kintsugi.policy.document import (
    DEPTH_MAX,
    Entry,
    Mapping,
    Node,
    Scalar,
    Sequence,
    decode,
    read_document,
    whole_characters,
)


def read_json_document(source: str | bytes, problems: Problems) -> Node | None:
    """As :func:`read_document`, for text that must be strict JSON.

    The values are JSON's own; YAML, which takes nearly all of JSON, only says where they stand.
    """
    text = decode(source, problems)
    if text is None:
        return None
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        json.dumps(value, allow_nan=False)  # 1e999 is infinite, which JSON cannot say
    except json.JSONDecodeError as error:
        problems.add("E004", f"not JSON: {error.msg}", Position(error.lineno, error.colno))
        return None
    except RecursionError:
        problems.add("E022", f"nested deeper than {DEPTH_MAX} levels", Position())
        return None
    except ValueError as error:
        problems.add("E004", f"not JSON: {error}", Position())
        return None
    # YAML has no tabs between tokens. A tab inside a JSON string is always escaped, so every tab
    # here is such a one; a blank keeps the columns.
    placed = Problems(problems.file)
    places_only = read_document(text.replace("\t", " "), placed)
    # What YAML alone does not take (raw control characters) costs the places, not the document.
    problems.extend(d for d in placed.found if d.code in ("E007", "E022"))
    if problems.has_errors:
        return None
    node = _from_json(value, places_only, Position(), DEPTH_MAX)
    if node is None:
        problems.add("E022", f"nested deeper than {DEPTH_MAX} levels", Position())
    return node


def _from_json(value: Any, place: Node | None, near: Position, depth: int) -> Node | None:
    """A tree of JSON's values with the places of a YAML tree where the two agree.

    Returns:
        None when it is nested deeper than ``depth``.
    """
    at = near if place is None else place.position
    if not isinstance(value, dict | list):
        text = value if isinstance(value, str) else json.dumps(value)
        return Scalar(value if not isinstance(value, str) else whole_characters(value), text, at)
    if depth == 0:
        return None
    if isinstance(value, list):
        known = place.items if isinstance(place, Sequence) else ()
        items = []
        for index, inner in enumerate(value):
            node = _from_json(inner, known[index] if index < len(known) else None, at, depth - 1)
            if node is None:
                return None
            items.append(node)
        return Sequence(tuple(items), at)
    entries = []
    keys = {e.key: e for e in place.entries} if isinstance(place, Mapping) else {}
    for key, inner in value.items():
        entry = keys.get(key)
        node = _from_json(inner, entry.value if entry else None, at, depth - 1)
        if node is None:
            return None
        entries.append(Entry(whole_characters(key), entry.position if entry else at, node))
    return Mapping(tuple(entries), at)


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")
