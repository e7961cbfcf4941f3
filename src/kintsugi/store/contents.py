"""What was said, apart from the record of it: taken out before storing, put back when read.

This is the one opener: whoever reads content gets it from here, redacted unless it is being
revealed, and where it cannot be had learns why.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Final, LiteralString, NamedTuple
from uuid import UUID

import msgspec

from kintsugi.errors import KeyUnavailable, NotFound, StateConflict
from kintsugi.model.event import DecisionEvent, ErasedNote, ExpiredNote, Payload
from kintsugi.store.event_rows import decode, decode_event, encode
from kintsugi.store.keyring import Keyring
from kintsugi.vault.sealing import CannotOpen, unseal, unwrap

_NONE: Final = Payload()

# In the order of ContentRow; the tables are p and k.
CONTENT_COLUMNS: Final[LiteralString] = (
    "p.payload, p.sealed, p.data_key, k.wrapped, k.key_id, k.erased_at, k.erasure_id, "
    "k.expired_under"
)


class Content(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is sealed. The digests of the wire bytes are in it because they tell what was said to
    whoever tries: a record that kept them would confirm a guess about erased content."""

    payload: Payload = Payload()
    request_digest: str = ""
    response_digest: str = ""


class ContentRow(NamedTuple):
    """A row of content and of its data key; all None where nothing was recorded."""

    payload: str | None
    sealed: bytes | None
    data_key: UUID | None
    wrapped: bytes | None
    key_id: str | None
    erased_at: datetime | None
    erasure_id: UUID | None
    expired_under: str | None = None


def taken_out(event: DecisionEvent) -> tuple[DecisionEvent, Content | None]:
    """The record without content, and the content; None where there is none.

    What only the control plane may say (``erased``, ``expired``, ``unreadable``,
    ``payload_digest``) is dropped.
    """
    payload = event.payload
    if payload.erased is not None or payload.expired is not None or payload.unreadable:
        payload = msgspec.structs.replace(payload, erased=None, expired=None, unreadable="")
    content = Content(payload, event.request_digest, event.response_digest)
    record = msgspec.structs.replace(
        event, payload=_NONE, request_digest="", response_digest="", payload_digest=""
    )
    return record, content if content != Content() else None


def put_back(record: DecisionEvent, content: Content, *, unredacted: bool = False) -> DecisionEvent:
    """The event with its content, redacted unless asked otherwise."""
    return msgspec.structs.replace(
        record,
        payload=(whole if unredacted else redacted)(content.payload),
        request_digest=content.request_digest or record.request_digest,
        response_digest=content.response_digest or record.response_digest,
    )


def redacted(payload: Payload) -> Payload:
    """What any reader may see of a payload."""
    if payload.unredacted is None:
        return payload
    return msgspec.structs.replace(payload, unredacted=None)


def whole(payload: Payload) -> Payload:
    """A payload as it was recorded, without any marker where the gateway kept everything."""
    if payload.unredacted is None:
        return payload
    kept = payload.unredacted
    return Payload(
        kept.request,
        kept.response,
        truncated=payload.truncated,
        chunking=kept.chunking or payload.chunking,
        sent_digest=payload.sent_digest,
    )


class Opener:
    """Opens rows of content."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        # By the wrapped key itself, as the row gave it: what was destroyed is in no row any more.
        self._unwrapped = lru_cache(maxsize=1024)(self._unwrap)

    def event(self, record: str, row: ContentRow, *, unredacted: bool = False) -> DecisionEvent:
        """The event of a record and its row of content."""
        event = decode_event(record)
        if row.payload is not None:
            content = Content(decode(row.payload, Payload))
        elif row.erased_at is not None and row.erasure_id is not None:
            content = _said(erased=ErasedNote(row.erased_at, str(row.erasure_id)))
        elif row.erased_at is not None and row.expired_under is not None:
            note = ExpiredNote(row.erased_at, str(row.data_key), row.expired_under)
            content = _said(expired=note)
        elif row.sealed is not None:
            content = self._open(event, row)
        elif event.payload_digest:
            content = _said(unreadable="the database has lost it: its row is missing")
        else:
            return event
        return put_back(event, content, unredacted=unredacted)

    def text(
        self, sealed: bytes, data_key: UUID, key_id: str, wrapped: bytes, *, place: bytes
    ) -> bytes:
        """A text that was sealed for a place, see ``DataKeys.seal_text``.

        Raises:
            CannotOpen: it was changed, or is another place's.
            KeyUnavailable: the key that wraps its own is not to be had.
        """
        key = self._unwrapped(key_id, wrapped, data_key.bytes)
        return unseal(sealed, key, data_key=data_key.bytes, event=place)[0]

    def _open(self, event: DecisionEvent, row: ContentRow) -> Content:
        if row.sealed is None or row.data_key is None or row.key_id is None or row.wrapped is None:
            return _said(unreadable="its data key is missing from the database")
        data_key = row.data_key.bytes
        try:
            key = self._unwrapped(row.key_id, row.wrapped, data_key)
        except KeyUnavailable as error:
            return _said(unreadable=str(error))
        except CannotOpen:
            return _said(unreadable=f"its data key was changed, or key {row.key_id} is wrong")
        try:
            text, digest = unseal(row.sealed, key, data_key=data_key, event=UUID(event.id).bytes)
        except CannotOpen:
            return _said(unreadable="it was changed in the database, or is another event's")
        if event.payload_digest and digest != event.payload_digest:
            return _said(unreadable="it is not what the record tells of: the digests differ")
        return decode(text.decode(), Content)

    def _unwrap(self, key_id: str, wrapped: bytes, data_key: bytes) -> bytes:
        return unwrap(wrapped, self._keyring.key(key_id), data_key=data_key)


def revealable(event: DecisionEvent) -> Payload:
    """The payload of an event that was opened unredacted.

    Raises:
        NotFound: none was recorded.
        StateConflict: it was erased, or has expired.
        KeyUnavailable: it cannot be opened.
    """
    payload = event.payload
    if payload.erased is not None:
        at = payload.erased.at.isoformat(timespec="seconds")
        raise StateConflict(
            f"the content of event {event.id} was erased at {at} by erasure "
            f"{payload.erased.erasure_id}"
        )
    if payload.expired is not None:
        raise StateConflict(
            f"the content of event {event.id} {payload.expired} (run {payload.expired.run_id})"
        )
    if payload.unreadable:
        raise KeyUnavailable(
            f"the content of event {event.id} cannot be opened: {payload.unreadable}"
        )
    if payload == _NONE:
        raise NotFound(f"no content of event {event.id} was recorded")
    return payload


def encoded(content: Content) -> bytes:
    """The text that is sealed."""
    return encode(content)


def _said(
    *, erased: ErasedNote | None = None, expired: ExpiredNote | None = None, unreadable: str = ""
) -> Content:
    return Content(Payload(erased=erased, expired=expired, unreadable=unreadable))
