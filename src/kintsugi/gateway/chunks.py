"""In which pieces a streamed answer came: the lengths, beside the texts that evidence keeps.

A replay makes the stream again from both. Lengths are all that is noted while a stream runs; they
become text once, with the record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

from kintsugi.gateway.dialects.dialect import Channel, Piece
from kintsugi.model.event import Chunking

# Pieces of one answer. A stream of more is not replayed in its pieces, and says so.
PIECES_MAX: Final = 32_768

#: A read: its frames that carry texts, each as pieces of (number of the text, characters).
Read = tuple[tuple[tuple[int, int], ...], ...]


class Chunks:
    """Notes the pieces of one stream."""

    __slots__ = ("_frames",)

    def __init__(self) -> None:
        # The pieces of every frame that has any; None where a read ended.
        self._frames: list[Sequence[Piece] | None] = []

    def frame(self, pieces: Sequence[Piece]) -> None:
        """A frame was read."""
        if len(self._frames) <= 2 * PIECES_MAX:
            self._frames.append(pieces)

    def read_over(self) -> None:
        """One read of the stream ends here."""
        if self._frames and self._frames[-1] is not None:
            self._frames.append(None)

    def told(self, channels: Sequence[Channel], *, whole: bool) -> Chunking | None:
        """As evidence keeps it; None where there were too many pieces.

        Args:
            whole: the stream came to its end.
        """
        if len(self._frames) > 2 * PIECES_MAX:
            return None
        self.read_over()
        writer = _Writer()
        words: list[str] = []
        frames: list[str] = []
        for pieces in self._frames:
            if pieces is not None:
                if word := writer.frame(pieces):
                    frames.append(word)
            elif frames:
                words.append(",".join(frames))
                frames.clear()
        numbers = writer.numbers
        texts = [*numbers, *(one for one in channels if one not in numbers)]
        return Chunking(tuple([one.path for one in texts]), _counted(words), whole)


class _Writer:
    """Writes frames, see ``Chunking.reads``.

    Attributes:
        numbers: of the texts, in the order in which they began.
    """

    def __init__(self) -> None:
        self.numbers: dict[Channel, int] = {}
        self._lengths: list[int] = []
        self._latest = 0

    def frame(self, pieces: Sequence[Piece]) -> str:
        """One frame; empty where it only states again what was said."""
        words = []
        for piece in pieces:
            number = self.numbers.setdefault(piece.channel, len(self._lengths))
            if number == len(self._lengths):
                self._lengths.append(0)
            end = piece.end
            grown = end - self._lengths[number]
            if grown > 0:
                self._lengths[number] = end
                words.append(str(grown) if number == self._latest else f"{number}:{grown}")
                self._latest = number
        return words[0] if len(words) == 1 else "+".join(words)


def _counted(reads: Iterable[str]) -> str:
    """Reads that follow each other and are the same, as one with its number."""
    words = []
    for read, group in groupby(reads):
        count = sum(1 for _ in group)
        words.append(read if count == 1 else f"{read}*{count}")
    return " ".join(words)


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
