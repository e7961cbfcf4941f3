"""What stands in the files of a package, and where. Pure; writer and verifier share it."""

from __future__ import annotations

import base64
import json
import re
from datetime import datetime
from typing import Final, Literal

import msgspec

from kintsugi.model.event import DecisionEvent, Payload

FORMAT: Final = 1
PREDICATE_TYPE: Final = "urn:kintsugi:evidence-package:v1"

PACKAGE: Final = "data/package.json"
README: Final = "data/README.html"
CRATE: Final = "data/ro-crate-metadata.json"
EVENTS: Final = "data/events.jsonl"
CONTENT: Final = "data/content.jsonl"
SPANS: Final = "data/spans.jsonl"
TIMELINE: Final = "data/timeline.jsonl"
ESCALATIONS: Final = "data/escalations.jsonl"
HOLDS: Final = "data/holds.jsonl"
CUSTODY: Final = "data/custody.jsonl"
CONFIGURATIONS: Final = "data/configurations.jsonl"
CONFIGURATION_FOLDER: Final = "data/configurations/"
INCIDENT_FOLDER: Final = "data/incident/"
INCIDENT: Final = "data/incident/incident.jsonl"
INCIDENT_TIMELINE: Final = "data/incident/timeline.jsonl"
FREEZES: Final = "data/incident/freezes.jsonl"
SIGNALS: Final = "data/incident/signals.jsonl"
AFFECTED: Final = "data/incident/affected.jsonl"
TRAJECTORY_FOLDER: Final = "data/trajectories/"
SUCCESSES: Final = "data/trajectories/successes.jsonl"
FAILURES: Final = "data/trajectories/failures.jsonl"
COMPLETENESS: Final = "data/completeness.json"
BATCHES: Final = "data/proofs/batches.jsonl"
LOG: Final = "data/proofs/log.jsonl"
CHECKPOINT: Final = "data/proofs/checkpoint"
KEYS: Final = "data/proofs/keys"

_BASE64: Final = b"base64:"
# What decoding raises on what is no JSON of the kind that was expected.
NOT_JSON: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")

_decode_event = msgspec.json.Decoder(DecisionEvent).decode

ContentView = Literal["redacted", "unredacted"]


class PackageInfo(msgspec.Struct, frozen=True):
    """``package.json``: what was asked for, and what came of it.

    Attributes:
        selection: the filter, under the API's names.
        content: what ``content.jsonl`` shows of prompts and answers.
        events, spans, escalations, custody: how many of each.
        erased: events whose content was erased before.
        unproven: events whose batch could not be read whole, so that no proof can be given.
        origin, checkpoint_size: the log, and its size under the checkpoint.
        remarks: what a reader must know besides, one sentence each.
    """

    format: int
    id: str
    made_at: datetime
    made_by: str
    reason: str
    kintsugi: str
    selection: dict[str, str]
    content: ContentView
    events: int
    spans: int
    escalations: int
    custody: int
    configurations: int
    origin: str
    checkpoint_size: int
    erased: int = 0
    unproven: int = 0
    remarks: tuple[str, ...] = ()


class ContentLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event's prompt and answer; a line of ``content.jsonl``, in the order of the events.

    Attributes:
        payload: says itself where it was erased, and by which erasure.
        request_digest, response_digest: of the bytes on the wire; erased with the content.
    """

    event_id: str
    payload: Payload = Payload()
    request_digest: str = ""
    response_digest: str = ""


class BatchLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A batch of events as the log holds it, of which this package has some.

    Attributes:
        leaf: position in the log.
        size: events of the batch.
        records: index and leaf hash (hex) of those in ``events.jsonl``, in the same order.
        others: level, position and hash (hex) of the subtrees that cover the rest.
        whole: False where the store no longer held the rest, so that there is no proof.
    """

    leaf: int
    size: int
    records: tuple[tuple[int, str], ...]
    others: tuple[tuple[int, int, str], ...] = ()
    whole: bool = True


class LogLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """The next part of the log, from its beginning to the checkpoint: a leaf, or the hash of a
    subtree without anything of this package in it.

    Attributes:
        leaf, data: position and text of a leaf.
        level, position, hash: of a subtree.
    """

    leaf: int | None = None
    data: str = ""
    level: int = 0
    position: int = 0
    hash: str = ""


class ConfigurationLine(msgspec.Struct, frozen=True):
    """A configuration version that was in force for some event.

    Attributes:
        config_version: as events name it, ``ID@V``.
        file: its text; empty where it is not known here, because a gateway ran from a file, say.
        logged: whether it is in the log.
        events: how many name it.
    """

    config_version: str
    events: int
    file: str = ""
    revision: str = ""
    author: str = ""
    note: str = ""
    created_at: datetime | None = None
    logged: bool = False


class TimelineLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that happened."""

    at: datetime
    kind: Literal["decision", "configuration", "escalation", "custody", "span", "hold", "signal"]
    what: str
    ref: str = ""


def record_line(record: str) -> bytes:
    """An event's record as a line: itself where it is JSON, else as a JSON string.

    Records with half a surrogate pair in them are stored in Base64, see ``store/event_rows.py``.
    """
    return (record.encode() if record.startswith("{") else msgspec.json.encode(record)) + b"\n"


def record_of(line: bytes) -> bytes:
    """The record of a line, without its newline: what the hash is of.

    Raises:
        msgspec.DecodeError: the line is a broken string.
    """
    if line.startswith(b'"'):
        return msgspec.json.decode(line, type=str).encode()
    return line


def event_of(record: bytes) -> DecisionEvent:
    """The event of a record.

    Raises:
        ValueError: it is none.
    """
    if record.startswith(_BASE64):
        text = base64.b64decode(record.removeprefix(_BASE64), validate=True)
        return msgspec.convert(json.loads(text.decode("utf-8", "surrogatepass")), DecisionEvent)
    return _decode_event(record)


def configuration_file(config_version: str, digest_hex: str) -> str:
    """Where a configuration's text lies; names that no file should have become a digest."""
    name, _, version = config_version.rpartition("@")
    if _PLAIN.fullmatch(name) and _PLAIN.fullmatch(version) and not name.startswith("."):
        return f"{CONFIGURATION_FOLDER}{name}@{version}.yaml"
    return f"{CONFIGURATION_FOLDER}{digest_hex[:32]}.yaml"
