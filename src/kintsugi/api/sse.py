"""Server-sent events on the wire (WHATWG HTML §9.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import structlog
from starlette.responses import StreamingResponse

from kintsugi.errors import StoreUnavailable

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 10.0
HEARTBEAT = b": still here\n\n"


def frame(event: str, data: bytes, *, position: int | str | None = None) -> bytes:
    """One event. ``data`` is one line, as JSON is when it is encoded."""
    head = f"event: {event}\n" + ("" if position is None else f"id: {position}\n")
    return b"%bdata: %b\n\n" % (head.encode(), data)


def stream(frames: AsyncIterator[bytes]) -> StreamingResponse:
    """The response. A slow reader holds back its own generator, which then reads no further."""
    return StreamingResponse(
        _while_available(frames),
        media_type="text/event-stream",
        # Proxies must not collect what is meant to arrive at once.
        headers={"x-accel-buffering": "no"},
    )


async def _while_available(frames: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """End with the store: the reader connects again, and is then told what is the matter."""
    try:
        async for sent in frames:
            yield sent
    except StoreUnavailable as error:
        log.warning("stream.ended", error=str(error))
