"""A batch of events from bytes: typed at once, every bad line named, nothing half stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException

from kintsugi.api.problems import FieldError, Invalid
from kintsugi.errors import InvalidInput
from kintsugi.model.event import DecisionEvent
from kintsugi.model.stores import EventStore, Ingested

BATCH_BYTES_MAX: Final = 64 * 1024 * 1024
_BAD_LINES_SHOWN: Final = 20

_EVENT = msgspec.json.Decoder(DecisionEvent)
_EVENTS = msgspec.json.Decoder(list[DecisionEvent])


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    events: list[DecisionEvent]


def decode_batch(body: bytes, content_type: str) -> Sequence[DecisionEvent]:
    """Events of an NDJSON body, or of a JSON one: an object, an array, or ``{"events": [...]}``.

    Text with a NUL character is kept with U+2400 in its place: PostgreSQL cannot hold a NUL, and
    refusing the record would let one hostile request stop the shipping of all others.

    Raises:
        Invalid: naming each bad line (the first twenty).
        HTTPException: 415, neither media type.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in {"application/x-ndjson", "application/jsonl"}:
        events = _decode_lines(body)
    elif media_type == "application/json":
        events = _decode_document(body)
    else:
        raise HTTPException(
            415, f'Send events as application/x-ndjson or application/json, not "{media_type}".'
        )
    if b"\\u0000" in body:
        return [_without_nul(event) for event in events]
    return events


def store_batch(store: EventStore, events: Sequence[DecisionEvent]) -> Ingested:
    """Store a batch.

    Raises:
        Invalid: naming the line of the event that the store refused.
    """
    try:
        return store.append(events) if events else Ingested(stored=0, duplicates=0)
    except InvalidInput as error:
        reason = str(error)
        for number, event in enumerate(events, start=1):
            if event.id and event.id in reason:
                raise Invalid([FieldError(f"body line {number}", reason)]) from error
        raise


def _decode_lines(body: bytes) -> list[DecisionEvent]:
    try:
        return _EVENT.decode_lines(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass  # slower, line by line, to say which ones are wrong
    found: list[FieldError] = []
    for number, line in enumerate(body.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            _EVENT.decode(line)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            found.append(FieldError(f"body line {number}", str(error)))
            if len(found) == _BAD_LINES_SHOWN:
                break
    raise Invalid(found or [FieldError("body", "not one JSON object per line")])


def _decode_document(body: bytes) -> list[DecisionEvent]:
    start = body.lstrip()[:1]
    try:
        if start == b"[":
            return _EVENTS.decode(body)
        if b'"events"' in body and _is_envelope(body):
            return msgspec.json.decode(body, type=_Envelope).events
        return [_EVENT.decode(body)]
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Invalid([FieldError("body", str(error))]) from None


def _is_envelope(body: bytes) -> bool:
    document = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return "events" in document


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\u2400")
    if isinstance(value, tuple):
        return tuple(_without_nul(item) for item in value)
    if isinstance(value, msgspec.Struct):
        changed = {name: _without_nul(getattr(value, name)) for name in value.__struct_fields__}
        return msgspec.structs.replace(value, **changed)
    return value
