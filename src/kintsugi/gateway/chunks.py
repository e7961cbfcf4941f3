"""In which pieces a streamed answer came: the lengths, beside the texts that evidence keeps.

A replay makes the stream again from both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

from kintsugi.gateway.dialects.dialect import Channel, Piece
from kintsugi.model.event import Chunking

# Pieces of one answer. A stream of more is not replayed in its pieces, and says so.
PIECES_MAX: Final = 32_768
_NOTES_MAX: Final = 2 * PIECES_MAX  # frames and ends of reads

#: A read: its frames that carry texts, each as pieces of (number of the text, characters).
Read = tuple[tuple[tuple[int, int], ...], ...]


class Chunks:
    """Notes the pieces of one stream, read by read; see ``Chunking.reads``."""

    __slots__ = ("_latest", "_notes", "_reads", "_texts")

    def __init__(self) -> None:
        # Of each text, in the order in which they began: its number, and its length so far.
        self._texts: dict[Channel, list[int]] = {}
        self._latest = 0  # number of the text that the latest piece is of
        self._reads: list[str] = []
        self._notes = 0

    def read(self, frames: Iterable[Sequence[Piece]]) -> None:
        """One read of the stream brought these frames."""
        texts, latest = self._texts, self._latest
        words = []
        for pieces in frames:
            joint = ","
            for piece in pieces:
                text = texts.get(piece.channel)
                if text is None:
                    text = texts[piece.channel] = [len(texts), 0]
                number, length = text
                if piece.end <= length:
                    continue  # it only states again what was said
                text[1] = piece.end
                if number != latest:
                    joint, latest = f"{joint}{number}:", number
                words.append(f"{joint}{piece.end - length}")
                joint = "+"
        self._latest = latest
        if words:
            read = "".join(words)[1:]
            self._notes += read.count(",") + 2
            if self._notes <= _NOTES_MAX:
                self._reads.append(read)

    def told(self, channels: Sequence[Channel], *, whole: bool) -> Chunking | None:
        """As evidence keeps it; None where there were too many pieces.

        Args:
            whole: the stream came to its end.
        """
        if self._notes > _NOTES_MAX:
            return None
        texts = [*self._texts, *(one for one in channels if one not in self._texts)]
        paths = tuple([one.path for one in texts])
        return Chunking(paths, _counted(self._reads), whole)


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
