"""Contents of spans, sealed and opened as those of events are.

The key is that of the trace's user; where none is told that of its session; where neither is, one
of the trace's own. Whoever it is becomes known span by span, so an erasure does not rely on the key
alone: it removes the contents of every trace that is labelled with its subject.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from kintsugi.errors import KeyUnavailable
from kintsugi.model.span import Span, SpanContent
from kintsugi.model.vault import Subject
from kintsugi.store.contents import Opener
from kintsugi.store.event_rows import decode, encode
from kintsugi.store.sealer import SealedContent, Sealer
from kintsugi.vault.sealing import CannotOpen


class SealedSpans(NamedTuple):
    """Contents by trace and span id, and the epoch in which they may be stored."""

    epoch: int
    contents: Mapping[tuple[str, str], SealedContent]


def seal_spans(
    sealer: Sealer,
    spans: Collection[Span],
    labels: Mapping[str, Collection[str]],
    *,
    now: datetime,
) -> SealedSpans:
    """Seal what the spans hold.

    Args:
        labels: of their traces, as far as they are stored already.

    Raises:
        KeyUnavailable: the newest key-encryption key is not to be had; nothing may be stored.
    """
    subjects = subjects_of(spans, labels)
    epoch, keys = sealer.prepare(set(subjects.values()), now=now)
    return SealedSpans(
        epoch,
        {
            (span.trace_id, span.span_id): keys.seal_text(
                encode(span.content), place_of(span), subjects[span.trace_id], at=span.started_at
            )
            for span in spans
            if span.content is not None
        },
    )


def subjects_of(spans: Iterable[Span], labels: Mapping[str, Collection[str]]) -> dict[str, Subject]:
    """Whose content each trace holds."""
    told: dict[str, dict[str, str]] = {}
    for span in spans:
        of_trace = told.setdefault(span.trace_id, {})
        for kind, name in (("user", "user.id"), ("session", "gen_ai.conversation.id")):
            if value := span.attributes.get(name):
                of_trace.setdefault(kind, str(value))
    for trace_id, of_trace in told.items():
        for label in labels.get(trace_id, ()):
            kind, _, value = label.partition(":")
            if kind in ("user", "session"):
                of_trace.setdefault(kind, value)
    return {
        trace_id: Subject("user", of_trace["user"])
        if "user" in of_trace
        else Subject("session", of_trace.get("session", trace_id))
        for trace_id, of_trace in told.items()
    }


def place_of(span: Span) -> bytes:
    """What is authenticated with a content, so that it opens for no other span."""
    return sha256(f"span {span.trace_id} {span.span_id}".encode()).digest()[:16]


def content_line(head: bytes, span: Span, sealed: SealedContent | None) -> bytes:
    """The line for COPY, behind trace, span and beginning."""
    if sealed is not None:
        return head + f"\\N\t{sealed.data_key}\t\\\\x{sealed.data.hex()}\n".encode()
    # JSON holds no raw tab or line end; a backslash means something to COPY.
    return head + encode(_content(span)).replace(b"\\", b"\\\\") + b"\t\\N\t\\N\n"


def opened(opener: Opener, span: Span, row: tuple[Any, ...]) -> Span:
    """A span with its content; without it where that was erased or cannot be opened.

    Args:
        row: content, sealed, data key, wrapped key and the id of the key that wraps it.
    """
    content, sealed, data_key, wrapped, key_id = row
    if content is not None:
        return msgspec.structs.replace(span, content=decode(content, SpanContent))
    if not (sealed and isinstance(data_key, UUID) and wrapped):
        return msgspec.structs.replace(span, holds=())
    try:
        text = opener.text(sealed, data_key, key_id, wrapped, place=place_of(span))
    except (CannotOpen, KeyUnavailable):
        return msgspec.structs.replace(span, holds=())
    return msgspec.structs.replace(span, content=decode(text.decode(), SpanContent))


def _content(span: Span) -> SpanContent:
    return span.content if span.content is not None else SpanContent()
