"""JSON read in one way only: a text that two parsers could read differently is refused.

RFC 8259 leaves repeated keys open: most parsers keep the last value, some the first. If we judged
one and the model read the other, a repeated key would carry a text past every policy.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_reformat = msgspec.json.format


class MalformedDocument(Exception):
    """A document that cannot be read, or not in one way only. The message is for the sender."""


def read_json(data: bytes) -> Any:
    """Decode a JSON document.

    Raises:
        MalformedDocument: no JSON, not UTF-8, nested too deeply, or an object repeats a key.
    """
    try:
        document = _decode(data)
        # Encoding never writes a key twice, so a text equal to its own re-encoding repeats none.
        # This answers for nearly all traffic at a quarter of the cost of the search for repeats.
        canonical = _encode(document)
        if canonical != data and canonical != _reformat(data, indent=-1):
            json.loads(data, object_pairs_hook=_without_repeats)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedDocument(_explain(error)) from None
    return document


def json_text(value: object) -> str:
    """Compact JSON text of a decoded value: how a value without a reading of its own is judged.

    Raises:
        MalformedDocument: it is nested so deeply that it could just be read.
    """
    try:
        return _encode(value).decode()
    except RecursionError as error:
        raise MalformedDocument(_explain(error)) from None


def refuse_look_alikes(found: Mapping[str, Any], known: Collection[str], at: str) -> None:
    """Refuse ``Messages`` beside ``messages``.

    Servers in Go match keys without regard to case, so a look-alike could stand in for the field
    that was judged.

    Args:
        known: the keys that have a reading, in lower case.
        at: JSON pointer of the object.
    """
    for key in found:
        if key not in known and (folded := key.casefold()) != key and folded in known:
            raise MalformedDocument(f'{at}/{key[:64]} differs from "{folded}" only in case')


def is_binary(text: str) -> bool:
    """Whether a string is content that no rule reads as text: a picture, sound, a document."""
    return text.startswith("data:") and not text.startswith("data:text/")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """One object of the document, as ``json.loads`` hands it over."""
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise MalformedDocument(f'the key "{repeated[:64]}" stands twice in one object')
    return found


def _explain(error: Exception) -> str:
    """What was wrong, without a word of the document (the message may reach a log)."""
    if isinstance(error, UnicodeDecodeError):
        return "the JSON text is not valid UTF-8"
    if isinstance(error, RecursionError):
        return "the JSON text is nested too deeply"
    return f"this is not valid JSON: {error}"
