"""One event as the rows that the tables hold, written in COPY's text format by hand.

Building the lines here costs a third of handing typed values to the driver one by one, and leaves
the database the cheapest thing it can be asked to read.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, TypeVar

import msgspec

from kintsugi.model.decision import Evaluation, Mode, Outcome, Phase
from kintsugi.model.event import DecisionEvent, Payload
from kintsugi.model.verdict import Verdict

COPY_EVENTS: Final = b"""
COPY kintsugi.events (
    position, id, timestamp, latency_ms, overhead_ms, input_tokens, output_tokens, http_status,
    streamed, decision, reason_code, policy_name, status, error, gateway_id, config_version,
    user_id, team_id, session_id, agent_id, workflow, model, provider, trace_id, incident_id,
    tenant_id
) FROM STDIN"""
COPY_RECORDS: Final = b"COPY kintsugi.event_records (id, record) FROM STDIN"
COPY_PAYLOADS: Final = b"COPY kintsugi.event_payloads (id, payload) FROM STDIN"
COPY_EVALUATIONS: Final = b"""
COPY kintsugi.evaluations (
    event_id, timestamp, ordinal, findings,
    policy_name, phase, mode, outcome, result, reason_code
) FROM STDIN"""

T = TypeVar("T")

_COLUMN_CHARS_MAX: Final = 200
_BASE64: Final = b"base64:"
_NO_PAYLOAD: Final = Payload()
_ENCODER: Final = msgspec.json.Encoder()
_EVENT: Final = msgspec.json.Decoder(DecisionEvent)
_NOT_PLAIN: Final = re.compile("[\\\\\x00-\x1f\x7f\ud800-\udfff]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_INT4_MAX: Final = 2**31 - 1
_INT8_MAX: Final = 2**63 - 1


class SealedRow(msgspec.Struct, frozen=True):
    """An event whose content was sealed.

    Attributes:
        record: the event without content.
        content: for COPY's binary form; empty when nothing was recorded.
        key: likewise, of a data key that only this event has; empty otherwise.
    """

    record: DecisionEvent
    content: bytes
    key: bytes


class EventRows(msgspec.Struct, frozen=True):
    """The lines of one event, ready to be written once its position is known.

    Attributes:
        columns: the line for ``events`` without the position and the tab after it.
        stored: the record as the database gives it back, which is what the log proves.
        payload: content that lies open; empty when nothing was recorded, or it is sealed.
        content, key: see ``SealedRow``.
    """

    columns: bytes
    stored: bytes
    record: bytes
    payload: bytes
    evaluations: bytes
    content: bytes = b""
    key: bytes = b""


def event_rows(event: DecisionEvent, sealed: SealedRow | None = None) -> EventRows:
    """Write one event's lines."""
    identifier = event.id
    timestamp = event.timestamp.astimezone(UTC).isoformat()
    columns = (
        f"{identifier}\t{timestamp}\t{event.latency_ms!r}\t{event.overhead_ms!r}\t"
        f"{_int8(event.input_tokens)}\t{_int8(event.output_tokens)}\t{_int4(event.http_status)}\t"
        f"{'t' if event.streamed else 'f'}\t{event.verdict.past}\t"
        f"{_field(event.reason_code)}\t{_field(event.policy_name)}\t{event.status.value}\t"
        f"{_field(event.error)}\t{_field(event.gateway_id)}\t{_field(event.config_version)}\t"
        f"{_field(event.user_id)}\t{_field(event.team_id)}\t{_field(event.session_id)}\t"
        f"{_field(event.agent_id)}\t{_field(event.workflow)}\t{_field(event.model)}\t"
        f"{_field(event.provider)}\t{_field(event.trace_id)}\t{_field(event.incident_id)}\t"
        f"{_field(event.tenant_id)}\n"
    )
    head = f"{identifier}\t".encode()
    payload = b""
    record = event
    if sealed is not None:
        record = sealed.record
    elif event.payload != _NO_PAYLOAD:
        payload = head + _escaped(encode(event.payload)) + b"\n"
        record = msgspec.structs.replace(event, payload=_NO_PAYLOAD)
    stored = encode(record)
    return EventRows(
        columns.encode(),
        stored,
        head + _escaped(stored) + b"\n",
        payload,
        _evaluation_lines(identifier, timestamp, event.evaluations),
        sealed.content if sealed is not None else b"",
        sealed.key if sealed is not None else b"",
    )


def encode(value: msgspec.Struct) -> bytes:
    """A text that holds the value exactly: JSON, except where half a surrogate pair is in it.

    Neither UTF-8 nor the database knows such a half, and JSON's escapes join two halves to another
    character; those rare values are kept in Base64.
    """
    try:
        return _ENCODER.encode(value)
    except UnicodeEncodeError:
        text = json.dumps(msgspec.to_builtins(value), ensure_ascii=False)
        return _BASE64 + base64.b64encode(text.encode("utf-8", "surrogatepass"))


def decode(text: str, kind: type[T]) -> T:
    """The value of a text that ``encode`` made.

    Raises:
        msgspec.MsgspecError: it is none of this type.
    """
    if text.startswith(_BASE64.decode()):
        return msgspec.convert(_from_base64(text), kind)
    return msgspec.json.decode(text, type=kind)


def decode_event(record: str) -> DecisionEvent:
    """The event of a record, without content."""
    if record.startswith(_BASE64.decode()):
        return msgspec.convert(_from_base64(record), DecisionEvent)
    return _EVENT.decode(record)


def _from_base64(text: str) -> object:
    decoded = base64.b64decode(text.removeprefix(_BASE64.decode()))
    return json.loads(decoded.decode("utf-8", "surrogatepass"))


def column_text(value: str) -> str:
    """How a column shows a text from outside; the record keeps the text itself.

    An index entry must be short, and neither NUL nor half a surrogate pair can be stored. A longer
    text ends in a digest of all of it, so that equal stays equal and different stays different.
    """
    if len(value) <= _COLUMN_CHARS_MAX and not _NOT_PLAIN.search(value):
        return value
    shown = _SURROGATE.sub("\ufffd", value.replace("\x00", "\u2400"))
    if len(value) <= _COLUMN_CHARS_MAX:
        return shown
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{shown[: _COLUMN_CHARS_MAX - 33]}…{digest[:32]}"


def minute_of(moment: datetime) -> datetime:
    """The start of its minute, in UTC."""
    return moment.astimezone(UTC).replace(second=0, microsecond=0)


def _evaluation_lines(identifier: str, timestamp: str, evaluations: Sequence[Evaluation]) -> bytes:
    return "".join(
        [
            f"{identifier}\t{timestamp}\t{ordinal}\t{len(evaluation.findings)}\t"
            + _evaluation_fields(
                evaluation.policy_name,
                evaluation.phase,
                evaluation.mode,
                evaluation.outcome,
                evaluation.effective,
                evaluation.reason_code,
            )
            for ordinal, evaluation in enumerate(evaluations)
        ]
    ).encode()


@lru_cache(maxsize=4096)
def _evaluation_fields(
    policy_name: str,
    phase: Phase,
    mode: Mode,
    outcome: Outcome,
    effective: Verdict,
    reason_code: str,
) -> str:
    result = evaluation_result(outcome, effective)
    return (
        f"{_field(policy_name)}\t{phase.value}\t{mode.value}\t{outcome}\t{result}\t"
        f"{_field(reason_code)}\n"
    )


def evaluation_result(outcome: Outcome, effective: Verdict) -> str:
    """The one word of ``policy_evaluations.result``: what the policy did to the exchange.

    The verdict that acted, in the present tense (``block``); where none did, ``pass``, or why it
    could not say: ``skipped`` or ``error``.
    """
    if effective is not Verdict.ALLOW:
        return str(effective.value)
    return str(outcome) if outcome in {"skipped", "error"} else "pass"


def _field(value: str) -> str:
    if len(value) <= _COLUMN_CHARS_MAX and not _NOT_PLAIN.search(value):
        return value
    return (
        column_text(value)
        .replace("\\", "\\\\")
        .replace("\t", "\\t")
        .replace("\n", "\\n")
        .replace("\r", "\\r")
    )


def _escaped(text: bytes) -> bytes:
    """JSON for COPY: it holds no raw tab or line end, so only backslashes are in the way."""
    return text.replace(b"\\", b"\\\\")


def _int4(value: int) -> int:
    return max(-_INT4_MAX, min(value, _INT4_MAX))


def _int8(value: int) -> int:
    return max(-_INT8_MAX, min(value, _INT8_MAX))
