"""Server-sent events on the wire (WHATWG HTML §9.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.responses import StreamingResponse

HEARTBEAT_SECONDS = 10.0
HEARTBEAT = b": still here\n\n"


def frame(event: str, data: bytes, *, position: int | str | None = None) -> bytes:
    """One event. ``data`` is one line, as JSON is when it is encoded."""
    head = f"event: {event}\n" + ("" if position is None else f"id: {position}\n")
    return b"%bdata: %b\n\n" % (head.encode(), data)


def stream(frames: AsyncIterator[bytes]) -> StreamingResponse:
    """The response. A slow reader holds back its own generator, which then reads no further."""
    return StreamingResponse(
        frames,
        media_type="text/event-stream",
        # Proxies must not collect what is meant to arrive at once.
        headers={"x-accel-buffering": "no"},
    )
