"""Server-sent events on their bytes: where frames begin and end, and what data they carry.

Source: WHATWG HTML, "Server-sent events", §9.2.5 and §9.2.6. Line ends are CRLF, LF or CR.
"""

from __future__ import annotations

import re

# A line end, then an empty line. The groups are atomic: a CRLF is never taken for CR and LF.
_FRAME_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class FrameSplitter:
    """Cuts a byte stream into frames without losing or changing a byte."""

    __slots__ = ("rest",)

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are complete now, each with its empty line; ``rest`` keeps the others.

        A CRLF whose halves come in two reads may leave its LF at the start of the next frame.
        It is an empty line there, which means nothing.
        """
        data = self.rest + data if self.rest else data
        if b"\r" not in data:
            frames = data.split(b"\n\n")
            self.rest = frames.pop()
            return [frame + b"\n\n" for frame in frames]
        frames = []
        position = 0
        for end in _FRAME_END.finditer(data):
            frames.append(data[position : end.end()])
            position = end.end()
        self.rest = data[position:]
        return frames


def frame_data(frame: bytes) -> bytes | None:
    """The data of a frame, its lines joined by LF; None when it carries none."""
    if frame.startswith(b"data: ") and frame.find(b"\n") == len(frame) - 2 and b"\r" not in frame:
        return frame[6:-2]
    lines = [value for name, value in _fields(frame) if name == b"data"]
    return b"\n".join(lines) if lines else None


def with_data(frame: bytes, data: bytes) -> bytes:
    """The frame with other data: every other line is kept, and so is the style of line ends."""
    line_end = b"\r\n" if b"\r\n" in frame else b"\n" if b"\n" in frame else b"\r"
    lines = [
        line
        for line in frame.removeprefix(_BYTE_ORDER_MARK).splitlines()
        if line and line.partition(b":")[0] != b"data"
    ]
    lines += [b"data: " + line for line in data.split(b"\n")]
    return b"".join(line + line_end for line in lines) + line_end


def ends_between_frames(data: bytes) -> bool:
    """Whether a stream that ends with these bytes ends where a new frame could begin."""
    return not data or data.endswith((b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n"))


def _fields(frame: bytes) -> list[tuple[bytes, bytes]]:
    """Name and value of every line that is no comment."""
    fields = []
    for line in frame.removeprefix(_BYTE_ORDER_MARK).splitlines():
        name, _, value = line.partition(b":")
        if name:
            fields.append((name, value.removeprefix(b" ")))
    return fields
