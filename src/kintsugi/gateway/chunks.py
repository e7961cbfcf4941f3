"""In which pieces a streamed answer came: the lengths, beside the texts that evidence keeps.

A replay makes the stream again from both. Lengths are all that is noted while a stream runs; they
become text once, with the record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from kintsugi.gateway.dialects.dialect import Channel, Piece
from kintsugi.model.event import Chunking

# Pieces of one answer. A stream of more is not replayed in its pieces, and says so.
PIECES_MAX: Final = 32_768

_FRAME: Final = -1
_READ: Final = -2

#: A read: its frames that carry texts, each as pieces of (number of the text, characters).
Read = tuple[tuple[tuple[int, int], ...], ...]


class Chunks:
    """Notes the pieces of one stream."""

    __slots__ = ("_lengths", "_noted", "_numbers")

    def __init__(self) -> None:
        self._numbers: dict[Channel, int] = {}
        self._lengths: list[int] = []
        self._noted: list[int] = []

    def frame(self, pieces: Iterable[Piece]) -> None:
        """A frame was read; what it states again is no piece."""
        noted = self._noted
        if len(noted) > 2 * PIECES_MAX:
            return
        for piece in pieces:
            number = self._numbers.get(piece.channel)
            if number is None:
                number = self._numbers[piece.channel] = len(self._lengths)
                self._lengths.append(0)
            grown = piece.end - self._lengths[number]
            if grown > 0:
                self._lengths[number] = piece.end
                noted += (number, grown)
        if noted and noted[-1] >= 0:
            noted.append(_FRAME)

    def read_over(self) -> None:
        """One read of the stream ends here."""
        if self._noted and self._noted[-1] == _FRAME:
            self._noted[-1] = _READ

    def told(self, channels: Sequence[Channel], *, whole: bool) -> Chunking | None:
        """As evidence keeps it; None where there were too many pieces.

        Args:
            whole: the stream came to its end.
        """
        if len(self._noted) > 2 * PIECES_MAX:
            return None
        self.read_over()
        texts = [*self._numbers, *(one for one in channels if one not in self._numbers)]
        return Chunking(tuple(one.path for one in texts), _written(self._noted), whole)


def _written(noted: Sequence[int]) -> str:
    """See ``Chunking.reads``."""
    reads: list[str] = []
    times: list[int] = []
    words: list[str] = []
    latest = 0
    values = iter(noted)
    for value in values:
        if value >= 0:
            mark = "" if value == latest else f"{value}:"
            latest = value
            joint = "+" if words and words[-1] != "," else ""
            words.append(f"{joint}{mark}{next(values)}")
        elif value == _FRAME:
            words.append(",")
        else:
            read = "".join(words)
            words.clear()
            if reads and reads[-1] == read:
                times[-1] += 1
            else:
                reads.append(read)
                times.append(1)
    return " ".join(
        read if count == 1 else f"{read}*{count}" for read, count in zip(reads, times, strict=True)
    )


def reads_of(chunking: Chunking) -> Iterator[Read]:
    """The reads of a recorded stream, in order.

    Raises:
        ValueError: it was not written here.
    """
    latest = 0
    for word in chunking.reads.split():
        read, _, times = word.partition("*")
        for _ in range(int(times or 1)):
            frames = []
            for frame in read.split(","):
                pieces = []
                for piece in frame.split("+"):
                    mark, colon, length = piece.rpartition(":")
                    latest = int(mark) if colon else latest
                    pieces.append((latest, int(length)))
                frames.append(tuple(pieces))
            yield tuple(frames)
