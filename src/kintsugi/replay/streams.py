"""A streamed answer again, as a stream of its dialect: from what it said, and in which pieces.

Evidence keeps the whole answer that the frames added up to, and the lengths of the pieces. Frames
are made from both, read by read, and read back with the gateway's own reader: only where they add
up to the very answer on record are they served.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Protocol

import msgspec

from kintsugi.gateway.chunks import Read, reads_of
from kintsugi.gateway.dialects import DIALECTS
from kintsugi.gateway.dialects.json_text import MalformedDocument
from kintsugi.gateway.dialects.mcp import MCP
from kintsugi.gateway.dialects.text_tree import is_index
from kintsugi.gateway.sse import FrameSplitter, frame_data
from kintsugi.model.event import Chunking
from kintsugi.replay.stream_frames import AnthropicFrames, ChatFrames, ResponseFrames, Unframed

_DIALECTS: Final = {dialect.name: dialect for dialect in DIALECTS}


class Frames(Protocol):
    """Makes the frames of one dialect's streams."""

    def begin(self) -> Iterator[bytes]:
        """What comes before the first text."""

    def frame(self, number: int, pieces: Mapping[str, str]) -> Iterator[bytes]:
        """A frame with the next pieces of these texts, by path, and what has to come before it.

        Args:
            number: so many frames came before it.

        Raises:
            Unframed: a piece stands where no frame of this dialect is known to bring it.
        """

    def rest(self, wordless: Sequence[str]) -> Iterator[bytes]:
        """What was begun and said nothing yet.

        Args:
            wordless: paths of texts that have no characters.
        """

    def closed(self) -> Iterator[bytes]:
        """What says that the texts so far have come to their ends."""

    def end(self) -> Iterator[bytes]:
        """What comes after the last text of an answer that is whole."""


_FRAMES: Final[Mapping[str, Callable[[dict[str, Any]], Frames]]] = MappingProxyType(
    {
        "openai.chat": ChatFrames,
        "openai.responses": ResponseFrames,
        "anthropic.messages": AnthropicFrames,
    }
)


def reads_again(
    dialect: str, answer: bytes, chunking: Chunking, *, stopped: bool
) -> list[bytes] | None:
    """What each read of the stream brought; None where it cannot be made again.

    Args:
        answer: as evidence keeps it, nothing masked.
        stopped: a policy stopped it on the way: perhaps only when the end of a text was heard.
    """
    try:
        if dialect == MCP.name:
            return list(_mcp_reads(answer, chunking))
        document = msgspec.json.decode(answer)
        frames = _FRAMES[dialect](document)
        reads = list(_reads(frames, document, chunking))
    except (KeyError, ValueError, IndexError, Unframed, msgspec.DecodeError):
        return None
    if _says(dialect, reads) != document:
        return None
    if stopped and not chunking.whole:
        reads.append(b"".join(frames.closed()))
    return reads


def _reads(frames: Frames, document: Any, chunking: Chunking) -> Iterator[bytes]:
    texts = [_Text(path, _text_at(document, path, chunking.texts)) for path in chunking.texts]
    count = 0
    begun = False
    for read in reads_of(chunking):
        out = []
        for frame in read:
            pieces: dict[str, str] = {}
            for number, length in frame:
                text = texts[number]
                pieces[text.path] = pieces.get(text.path, "") + text.take(length)
            made: list[bytes] = []
            if not begun and not _comes_first(pieces, count):
                begun = True
                made += frames.begin()
            made += frames.frame(count + len(made), pieces)
            count += len(made)
            out += made
        yield b"".join(out)
    if any(text.left for text in texts):
        raise Unframed("the lengths are not those of the answer")
    if not begun:
        yield b"".join(frames.begin())
    yield b"".join(frames.rest([text.path for text in texts if text.is_empty]))
    # What upstream said of the end may have come before the answer was stopped.
    if chunking.whole or _has_ended(document):
        yield b"".join(frames.end())


def _comes_first(pieces: Mapping[str, str], count: int) -> bool:
    """Whether these stand beside the answer, and so early that no frame had begun it by then."""
    numbers = [int(path.split("/")[2]) for path in pieces if path.startswith("/frames/")]
    return bool(numbers) and min(numbers) <= count + 1


def _has_ended(document: Any) -> bool:
    choices = document.get("choices") or ()
    return bool(document.get("stop_reason")) or any(one["finish_reason"] for one in choices)


class _Text:
    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self._text = text
        self._taken = 0

    @property
    def is_empty(self) -> bool:
        return not self._text

    @property
    def left(self) -> bool:
        return self._taken < len(self._text)

    def take(self, length: int) -> str:
        piece = self._text[self._taken : self._taken + length]
        self._taken += length
        if len(piece) != length:
            raise Unframed("the lengths are not those of the answer")
        return piece


def _says(dialect: str, reads: list[bytes]) -> Any:
    """The whole answer that these reads add up to; None where they cannot be read."""
    reader = _DIALECTS[dialect].open_stream()
    splitter = FrameSplitter()
    for frame in splitter.feed(b"".join(reads)):
        data = frame_data(frame)
        if data is None:
            continue
        try:
            reader.read(data)
        except MalformedDocument:
            # A frame that passed though nobody could read it.
            reader.read_opaque(data.decode(errors="replace"))
    return msgspec.json.decode(reader.whole(()))


def _text_at(document: Any, path: str, paths: tuple[str, ...]) -> str:
    """The text of a path. Lists hold no gaps, so a place in one is counted among the paths."""
    tokens = path.split("/")[1:]
    at = ""
    for depth, token in enumerate(tokens):
        if isinstance(document, list):
            if tokens[0] in _OWN_INDEX and depth == 1:
                document = _numbered(document, int(token))
            else:
                beside = {
                    one[len(at) + 1 :].partition("/")[0]
                    for one in paths
                    if one.startswith(at + "/")
                }
                places = sorted((one for one in beside if is_index(one)), key=int)
                document = document[places.index(token)]
        else:
            document = document[token.replace("~1", "/").replace("~0", "~")]
        at += "/" + token
    if not isinstance(document, str):
        raise Unframed(f"{path} is no text")
    return document


# Lists of which every entry is there, whatever it says.
_OWN_INDEX: Final = ("choices", "content", "output")


def _numbered(entries: list[Any], number: int) -> Any:
    for entry in entries:
        if isinstance(entry, dict) and entry.get("index", None) == number:
            return entry
    return entries[number]


def _mcp_reads(answer: bytes, chunking: Chunking) -> Iterator[bytes]:
    """One event a message: each is judged whole, whatever reads it came in."""
    position = 0
    for read in _mcp_sizes(chunking):
        for kind, size in read:
            data = answer[position : position + size]
            position += size + 1
            name = b"message" if kind == 0 else b"other"
            lines = b"".join(b"data: %b\n" % line for line in data.split(b"\n"))
            yield b"event: %b\n%b\n" % (name, lines)


def _mcp_sizes(chunking: Chunking) -> Iterator[tuple[tuple[int, int], ...]]:
    read: Read
    for read in reads_of(chunking):
        yield from read
