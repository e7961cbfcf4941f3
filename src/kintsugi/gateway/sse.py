"""Server-sent events on their bytes: where frames begin and end, and what data they carry.

Source: WHATWG HTML, "Server-sent events", §9.2.5 and §9.2.6. Line ends are CRLF, LF or CR.
"""

from __future__ import annotations

import re

# A line end, then an empty line. The groups are atomic: a CRLF is never taken for CR and LF.
_FRAME_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
# Two line ends of two bytes each, less the byte that is still to come.
_SEAM_BYTES = 3
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class FrameSplitter:
    """Cuts a byte stream into frames without losing or changing a byte."""

    __slots__ = ("_pieces", "_seam", "rest_bytes")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []  # of the frame that has no end yet
        self._seam = b""  # the last of them, as far as a frame's end may have begun there
        self.rest_bytes = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are complete now, each with its empty line; the rest is kept.

        A CRLF whose halves come in two reads may leave its LF at the start of the next frame.
        It is an empty line there, which means nothing.
        """
        if self._pieces:
            # A frame of many reads is looked through once, not once for every read.
            seam = self._seam + data
            if not _FRAME_END.search(seam):
                self._keep(data, seam)
                return []
            data = self.take_rest() + data
        if b"\r" not in data:
            frames = data.split(b"\n\n")
            rest = frames.pop()
            if rest:
                self._keep(rest, rest)
            return [frame + b"\n\n" for frame in frames]
        frames = []
        position = 0
        for end in _FRAME_END.finditer(data):
            frames.append(data[position : end.end()])
            position = end.end()
        if position < len(data):
            self._keep(data[position:], data[position:])
        return frames

    def take_rest(self) -> bytes:
        """What no frame's end has followed; it is not kept any longer."""
        rest = b"".join(self._pieces)
        self._pieces.clear()
        self._seam = b""
        self.rest_bytes = 0
        return rest

    def _keep(self, piece: bytes, seam: bytes) -> None:
        self._pieces.append(piece)
        self._seam = seam[-_SEAM_BYTES:]
        self.rest_bytes += len(piece)


def frame_data(frame: bytes) -> bytes | None:
    """The data of a frame, its lines joined by LF; None when it carries none."""
    if frame.startswith(b"data: ") and frame.find(b"\n") == len(frame) - 2 and b"\r" not in frame:
        return frame[6:-2]
    lines = [value for name, value in _fields(frame) if name == b"data"]
    return b"\n".join(lines) if lines else None


def frame_field(frame: bytes, name: bytes) -> bytes:
    """The last value of a field of a frame; empty when there is none."""
    return next((value for field, value in reversed(_fields(frame)) if field == name), b"")


def with_data(frame: bytes, data: bytes) -> bytes:
    """The frame with other data: every other line is kept, and so is the style of line ends.

    What stands before the first line and after the last stays byte for byte, because a CRLF there
    may have its other half in the neighbouring frame.
    """
    text = frame.strip(b"\r\n")
    start = frame.index(text)
    line_end = b"\r\n" if b"\r\n" in frame else b"\n" if b"\n" in frame else b"\r"
    mark = _BYTE_ORDER_MARK if text.startswith(_BYTE_ORDER_MARK) else b""
    lines = [
        line for line in text.removeprefix(mark).splitlines() if line.partition(b":")[0] != b"data"
    ]
    lines += [b"data: " + line for line in data.split(b"\n")]
    return frame[:start] + mark + line_end.join(lines) + frame[start + len(text) :]


def _fields(frame: bytes) -> list[tuple[bytes, bytes]]:
    """Name and value of every line that is no comment."""
    fields = []
    for line in frame.removeprefix(_BYTE_ORDER_MARK).splitlines():
        name, _, value = line.partition(b":")
        if name:
            fields.append((name, value.removeprefix(b" ")))
    return fields
