"""A batch of events from bytes: typed at once, every bad line named, nothing half stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException

from kintsugi.api.problems import FieldError, Invalid
from kintsugi.errors import InvalidInput
from kintsugi.ledger.journal_continuity import check_records
from kintsugi.ledger.journal_ranges import RANGES_LINE_START, RangesLine
from kintsugi.model.event import DecisionEvent
from kintsugi.model.events import EventStore, Ingested
from kintsugi.model.journal import CheckedRange, JournalRange

BATCH_BYTES_MAX: Final = 64 * 1024 * 1024
_BAD_LINES_SHOWN: Final = 20

_RANGES = msgspec.json.Decoder(RangesLine)
_EVENT = msgspec.json.Decoder(DecisionEvent)
_EVENTS = msgspec.json.Decoder(list[DecisionEvent])


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    events: list[DecisionEvent]


class Batch(msgspec.Struct, frozen=True):
    """Events, and where in a gateway's journals they stand, if it told."""

    events: Sequence[DecisionEvent]
    journals: tuple[CheckedRange, ...] = ()


def decode_batch(body: bytes, content_type: str) -> Batch:
    """Events of an NDJSON body, or of a JSON one: an object, an array, or ``{"events": [...]}``.

    The first line of an NDJSON body may tell where in the journals of a gateway the others stand
    (``ledger/journal_ranges.py``). What does not fit is no reason to refuse a record: it is said
    when the batch is stored.

    Text with a NUL character is kept with U+2400 in its place: PostgreSQL cannot hold a NUL, and
    refusing the record would let one hostile request stop the shipping of all others.

    Raises:
        Invalid: naming each bad line (the first twenty).
        HTTPException: 415, neither media type.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in {"application/x-ndjson", "application/jsonl"}:
        journals, records = _told(body)
        events = _decode_lines(records, first_line=2 if journals else 1)
    elif media_type == "application/json":
        journals, records = (), body
        events = _decode_document(body)
    else:
        raise HTTPException(
            415, f'Send events as application/x-ndjson or application/json, not "{media_type}".'
        )
    if b"\\u0000" in records:
        events = [_without_nul(event) for event in events]
    if not journals:
        return Batch(events)
    # The lines as they came: what the journal's chain was made of.
    lines = [line for line in records.split(b"\n") if line.strip()]
    return Batch(events, check_records(journals, lines))


def store_batch(store: EventStore, batch: Batch) -> Ingested:
    """Store a batch.

    Raises:
        Invalid: naming the line of the event that the store refused.
    """
    try:
        if not batch.events and not batch.journals:
            return Ingested(stored=0, duplicates=0)
        return store.append(batch.events, batch.journals)
    except InvalidInput as error:
        reason = str(error)
        first_line = 2 if batch.journals else 1
        for number, event in enumerate(batch.events, start=first_line):
            if event.id and event.id in reason:
                raise Invalid([FieldError(f"body line {number}", reason)]) from error
        raise


def _told(body: bytes) -> tuple[tuple[JournalRange, ...], bytes]:
    """What the first line tells of journals, and the lines of records after it."""
    if not body.startswith(RANGES_LINE_START):
        return (), body
    line, _, records = body.partition(b"\n")
    try:
        return _RANGES.decode(line).ranges, records
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Invalid([FieldError("body line 1", str(error))]) from None


def _decode_lines(body: bytes, *, first_line: int) -> list[DecisionEvent]:
    try:
        return _EVENT.decode_lines(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass  # slower, line by line, to say which ones are wrong
    found: list[FieldError] = []
    for number, line in enumerate(body.split(b"\n"), start=first_line):
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
