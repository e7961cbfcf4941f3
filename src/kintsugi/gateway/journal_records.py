"""Tells the journal's records apart without decoding them."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["admitted", "decision", "opened", "other"]

# msgspec writes the tag first and fields in their order, so every record of ours begins so.
_ADMITTED = b'{"kind":"admitted","id":"'
_DECISION = b'{"kind":"decision","id":"'
_OPENED = b'{"kind":"opened",'
_ID_START = len(_ADMITTED)

# In a line, never inside a string: quotes in a JSON string stand behind a backslash.
DECISION_IN_LINE = b'"record":{"kind":"decision"'


class _Tagged(msgspec.Struct):
    kind: str
    id: str = ""


def peek(record: bytes) -> tuple[Kind, bytes]:
    """The kind and the exchange's id; the id is empty for ``opened`` and ``other``."""
    if record.startswith(_DECISION):
        return "decision", record[_ID_START : record.index(b'"', _ID_START)]
    if record.startswith(_ADMITTED):
        return "admitted", record[_ID_START : record.index(b'"', _ID_START)]
    if record.startswith(_OPENED):
        return "opened", b""
    return _decoded(record)


def _decoded(record: bytes) -> tuple[Kind, bytes]:
    """The slow way, for records that another version wrote with its fields in another order."""
    try:
        tagged = msgspec.json.decode(record, type=_Tagged)
    except msgspec.DecodeError:
        return "other", b""
    if tagged.kind == "decision":
        return "decision", tagged.id.encode()
    if tagged.kind == "admitted":
        return "admitted", tagged.id.encode()
    return "other", b""
