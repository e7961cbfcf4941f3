"""Anthropic messages as a stream: events in, texts per content block out.

A block is opened with its fields, grows by deltas and is closed. The fields of an event are read
whatever its type says, so that a text is judged in an event of a type that nobody knows yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any

import msgspec

from kintsugi.gateway.dialects.anthropic_error import error_document
from kintsugi.gateway.dialects.anthropic_messages_blocks import BlockReader, Speaker, is_sealed
from kintsugi.gateway.dialects.changes import Called, CannotChange
from kintsugi.gateway.dialects.dialect import Channel, FrameView, Piece, Problem
from kintsugi.gateway.dialects.json_text import MalformedDocument, json_text, read_json
from kintsugi.gateway.dialects.openai_chat_message import words
from kintsugi.gateway.dialects.splice import apply_edits, pointer_token
from kintsugi.gateway.dialects.text_tree import TextTree, path_rank, strings_in
from kintsugi.model.content import Edit, Part, PartKind

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

SETTINGS_OF_ANSWER = words("id type role model stop_reason usage container")
_TEMPLATE = ("id", "type", "role", "model")
# An event with one of these is about a block.
_OF_BLOCK = words("delta content_block")
_SILENT_IN_DELTA = words("type estimated_tokens")
_SILENT_IN_MESSAGE_DELTA = words("stop_reason container")
# Where the text of a delta stands in the block, if not under the same name.
_FIELDS = {"partial_json": "input"}
_KINDS: dict[str, PartKind] = {
    "input": "tool_call",
    "thinking": "reasoning",
    "signature": "reasoning",
}
# Of a block, what is kept for the whole answer besides its texts.
_KEPT_OF_BLOCK = ("type", "id", "name", "tool_use_id", "server_name", "is_error", "file_id")
_INPUT = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_COUNTED = (*_INPUT, "output_tokens")
_MODEL = Speaker("assistant")
_QUOTED = Speaker("tool", "tool_result", "citation")
_NO_TEXT = TextTree()
_LAST_RANK = 1 << 30


def read_usage(usage: object) -> tuple[int, int]:
    """Tokens read, those that a cache spared included, and tokens written; 0 where not told."""
    return _totals(usage) if isinstance(usage, dict) else (0, 0)


class MessageStream:
    """Reads one streamed answer."""

    def __init__(self) -> None:
        self.channels: list[Channel] = []
        self.model = ""
        self.input_tokens = 0
        self.output_tokens = 0
        self.all_finished = False
        self._by_path: dict[str, Channel] = {}
        self._reader = BlockReader()
        self._frames = 0
        self._blocks: dict[int, dict[str, Any]] = {}
        self._growing: dict[int, list[Channel]] = {}  # by block
        self._closed: set[int] = set()
        self._citations: dict[int, int] = {}
        self._usage: dict[str, int] = {}
        self._template: dict[str, Any] = {}
        self._stop_reason: str | None = None

    def read(self, data: bytes) -> FrameView:
        """See ``StreamReader``."""
        if data.strip() == b"[DONE]":  # some compatible servers end so
            return FrameView(closing=True)
        event = read_json(data)
        if type(event) is not dict:
            raise MalformedDocument("a frame must be a JSON object")
        kind = event.get("type", "")
        if type(kind) is not str:
            raise MalformedDocument('"type" must be the name of an event')
        index = event.get("index", 0)
        of_block = kind == "content_block_stop" or not event.keys().isdisjoint(_OF_BLOCK)
        if of_block and (type(index) is not int or index < 0):
            raise MalformedDocument('"index" must be a whole number')
        self._frames += 1
        pieces: list[Piece] = []
        seals: list[tuple[Channel, str]] = []
        for key, value in event.items():
            if key == "type":
                continue
            if key == "delta" and kind != "message_delta":
                self._read_delta(index, value, pieces, seals)
            elif key == "content_block":
                self._open_block(index, value, pieces)
            elif key == "usage" and type(value) is dict:
                self._count(value)
            elif key in ("delta", "message", "error") and type(value) is dict:
                self._read_message(key, value, pieces)
            else:
                self._read_unknown(value, "/" + pointer_token(key), pieces)
        if kind == "content_block_stop":
            self._close_block(index, pieces)
        if kind == "message_delta" and self._stop_reason is not None:
            self.all_finished = True
            return FrameView(pieces, (0,), seals=seals)
        if pieces:
            self.all_finished = False
        return FrameView(pieces, closing=kind in ("message_stop", "error"), seals=seals)

    def read_opaque(self, text: str) -> FrameView:
        """See ``StreamReader``."""
        self._frames += 1
        pieces: list[Piece] = []
        self._read_unknown(text, "", pieces)
        return FrameView(pieces)

    def clears(self, piece: Piece) -> Sequence[str]:  # noqa: ARG002
        """See ``StreamReader``. No frame repeats a text."""
        return ()

    def breaks(self, edits: Mapping[str, Sequence[Edit]]) -> bool:
        """Whether edits would leave a call with arguments that are no JSON any more. Where an
        answer is not streamed they are an object, and cannot be edited so.

        Args:
            edits: by path.
        """
        return any(
            channel.kind == "tool_call"
            and channel.path in edits
            and _is_json(channel.text())
            and not _is_json(apply_edits(channel.text(), edits[channel.path]))
            for channel in self.channels
        )

    def stop_frames(self, problem: Problem, released: Set[int]) -> bytes:  # noqa: ARG002
        """See ``StreamReader``. The SDKs raise an ``error`` event as an exception, wherever it
        comes, so a stopped answer is never taken for a short one."""
        return _frame(error_document(problem))

    def confirmation_frames(
        self,
        say: Callable[[Sequence[Called]], str],
        said: Mapping[str, str],
        released: Set[int],  # noqa: ARG002
    ) -> tuple[bytes, int]:
        """Frames that end the answer, with words in the place of its tool calls.

        Args:
            said: texts that have not gone out, by path: those after the first call.
            released: see ``stop_frames``.

        Returns:
            The frames, and how many calls they stand for.

        Raises:
            CannotChange: a tool of the provider's own was called; its results are in the answer.
        """
        kinds = {index: block.get("type") for index, block in sorted(self._blocks.items())}
        calls = [index for index, kind in kinds.items() if kind == "tool_use"]
        first = min(calls, default=0)
        held = [kind for index, kind in kinds.items() if index >= first]
        if not calls or not {"tool_use", "text", "thinking"}.issuperset(held):
            raise CannotChange("what the provider's own tools did cannot be taken out of a stream")
        called = [self._called(index) for index in calls]
        texts = [said.get(f"/content/{index}/text", "") for index in kinds if index >= first]
        spoken = [*filter(None, texts), say(called)]
        events = [
            event for place, text in enumerate(spoken, first) for event in _block(place, text)
        ]
        usage = {"output_tokens": self.output_tokens}
        delta = {"stop_reason": "end_turn", "stop_sequence": None}
        events.append({"type": "message_delta", "delta": delta, "usage": usage})
        return b"".join(map(_frame, events)), len(calls)

    def whole(self, edits: Sequence[Edit]) -> bytes:
        """See ``StreamReader``. The arguments of a call stay the text that the model wrote: it is
        what was judged. Texts of events without a reading stand under ``frames``."""
        by_path: dict[str, list[Edit]] = {}
        for edit in edits:
            by_path.setdefault(edit.path, []).append(edit)
        root = TextTree()
        for channel in self.channels:
            text = channel.text()
            if channel.path in by_path:
                text = apply_edits(text, by_path[channel.path])
            root.put(channel.path.split("/")[1:], text, "")
        texts = root.below.pop("content", _NO_TEXT).below
        document: dict[str, Any] = {"type": "message", **self._template}
        document["content"] = [
            {**self._blocks.get(index, {}), **texts.get(str(index), _NO_TEXT).fields()}
            for index in sorted({*self._blocks, *map(int, texts)})
        ]
        document["stop_reason"] = self._stop_reason
        document |= root.fields()
        if self._usage:
            document["usage"] = self._usage
        return _encode(document)

    def _called(self, index: int) -> Called:
        channel = self._by_path.get(f"/content/{index}/input")
        return Called("", "{}") if channel is None else Called(channel.name, channel.text())

    def _open_block(self, index: int, block: object, pieces: list[Piece]) -> None:
        if index in self._blocks:
            raise MalformedDocument("a content block begins twice")
        at = f"/content/{index}"
        self._reader.read_block(block, at, _MODEL)
        outline = block if isinstance(block, dict) else {}
        self._blocks[index] = {key: outline[key] for key in _KEPT_OF_BLOCK if key in outline}
        for part in self._taken():
            below = part.path[len(at) :]
            grows = below.count("/") == 1
            if part.kind == "tool_call" and below == "/input":
                # The arguments come as deltas, unless a server sends them at once.
                grows = part.text == "{}"
                part = msgspec.structs.replace(part, text="" if grows else part.text)
            channel = self._state(part, f"/content_block{below}", pieces, closed=not grows)
            if channel is not None and grows:
                self._growing.setdefault(index, []).append(channel)

    def _close_block(self, index: int, pieces: list[Piece]) -> None:
        self._closed.add(index)
        for channel in self._growing.pop(index, ()):
            if channel.kind == "tool_call" and not channel.length:
                # A call without arguments: what it has in an answer that is not streamed.
                _append(channel, "{}", "/input", pieces)
            channel.closed = True

    def _read_delta(
        self, index: int, delta: object, pieces: list[Piece], seals: list[tuple[Channel, str]]
    ) -> None:
        if type(delta) is not dict:
            raise MalformedDocument("a delta must be an object")
        at = f"/content/{index}"
        for key, value in delta.items():
            if key in _SILENT_IN_DELTA or not value:
                continue
            pointer = "/delta/" + pointer_token(key)
            field: str = _FIELDS.get(key) or key
            if type(value) is str:
                thinking = self._by_path.get(at + "/thinking")
                if key == "signature" and thinking is not None and is_sealed(value):
                    seals.append((thinking, pointer))
                elif not (key.startswith("encrypted_") and is_sealed(value)):
                    self._add(index, pointer_token(field), value, pointer, pieces)
            elif key == "citation":
                number = self._citations.get(index, 0)
                self._citations[index] = number + 1
                where = f"{at}/citations/{number}"
                self._reader.read_block(value, where, _QUOTED)
                for part in self._taken():
                    self._state(part, pointer + part.path[len(where) :], pieces, closed=True)
            else:
                for below, text in strings_in(value, ""):
                    self._add(index, pointer_token(field) + below, text, pointer + below, pieces)

    def _read_message(self, key: str, value: dict[str, Any], pieces: list[Piece]) -> None:
        """Read what an event says about the answer as a whole."""
        if key == "delta":
            reason = value.get("stop_reason")
            self._stop_reason = reason if type(reason) is str else self._stop_reason
            silent = _SILENT_IN_MESSAGE_DELTA
        elif key == "message":
            model = value.get("model")
            if type(model) is str and not self.model:
                self.model = model
                self._template = {name: value[name] for name in _TEMPLATE if name in value}
            self._count(value.get("usage"))
            silent = SETTINGS_OF_ANSWER | {"content"}
            content = value.get("content") or ()
            if type(content) not in (list, tuple):
                raise MalformedDocument('"content" must be a list')
            for index, block in enumerate(content):
                self._open_stated_block(index, block, pieces)
        else:
            silent = words("type")
        for name, below in value.items():
            pointer = f"/{key}/{pointer_token(name)}"
            if name in silent or below is None:
                continue
            if name == "stop_details" and type(below) is dict:
                self._reader.read_block(below, "/stop_details", _MODEL)
                for part in self._taken():
                    self._state(part, f"/{key}{part.path}", pieces, closed=True)
            elif name == "stop_sequence" and type(below) is str:
                self._state(_MODEL.part(below, "/stop_sequence"), pointer, pieces, closed=True)
            else:
                self._read_unknown(below, pointer, pieces)

    def _open_stated_block(self, index: int, block: object, pieces: list[Piece]) -> None:
        """A block that the first event holds already: some compatible servers begin so."""
        before = len(pieces)
        self._open_block(index, block, pieces)
        for position in range(before, len(pieces)):
            piece = pieces[position]
            pointer = piece.pointer.removeprefix("/content_block")
            pieces[position] = msgspec.structs.replace(
                piece, pointer=f"/message/content/{index}{pointer}"
            )

    def _add(self, index: int, field: str, text: str, pointer: str, pieces: list[Piece]) -> None:
        """Take in a text's next piece."""
        path = f"/content/{index}/{field}"
        channel = self._by_path.get(path)
        if channel is None:
            if index in self._closed:
                raise MalformedDocument("a content block goes on after it was done")
            kind = _KINDS.get(field, "text")
            channel = self._open(Part("assistant", kind, "", path))
            self._growing.setdefault(index, []).append(channel)
        elif channel.closed:
            raise MalformedDocument("a text goes on after it was done")
        _append(channel, text, pointer, pieces)

    def _state(
        self, part: Part, pointer: str, pieces: list[Piece], *, closed: bool
    ) -> Channel | None:
        """Take in a text that is there at once, whole or as a beginning; return its channel,
        unless it has one already that cannot grow."""
        channel = self._by_path.get(part.path)
        if channel is None:
            channel = self._open(part)
        elif channel.closed:  # stated again: judged again, as a text of its own
            self._read_unknown(part.text, pointer, pieces)
            return None
        if part.text:
            _append(channel, part.text, pointer, pieces)
        channel.closed = closed
        return channel

    def _open(self, part: Part) -> Channel:
        channel = Channel(part.path, part.kind, rank=path_rank(part.path), role=part.role)
        channel.name = part.name
        self._by_path[part.path] = channel
        self.channels.append(channel)
        return channel

    def _read_unknown(self, value: object, pointer: str, pieces: list[Piece]) -> None:
        """Take in a value without a known reading as a text of its own."""
        if isinstance(value, str | list | dict) and value:
            text = value if isinstance(value, str) else json_text(value)
            path = f"/frames/{self._frames}{pointer}"
            channel = Channel(path, "text", rank=(_LAST_RANK, self._frames, pointer), closed=True)
            self.channels.append(channel)
            _append(channel, text, pointer, pieces)

    def _taken(self) -> list[Part]:
        """What the reader of blocks has found since it was asked last."""
        parts, self._reader.parts = self._reader.parts, []
        return parts

    def _count(self, usage: object) -> None:
        """Take in counts: they are totals, and those left out stay as they were."""
        if isinstance(usage, dict):
            for key in _COUNTED:
                if type(usage.get(key)) is int:
                    self._usage[key] = usage[key]
            self.input_tokens, self.output_tokens = _totals(self._usage)


def _totals(usage: Mapping[str, Any]) -> tuple[int, int]:
    counts = {key: value for key in _COUNTED if type(value := usage.get(key)) is int}
    return sum(counts.get(key, 0) for key in _INPUT), counts.get("output_tokens", 0)


def _is_json(text: str) -> bool:
    try:
        _decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _block(index: int, text: str) -> Iterator[dict[str, Any]]:
    """The events of a block that says one text."""
    at: dict[str, Any] = {"index": index}
    yield {"type": "content_block_start", **at, "content_block": {"type": "text", "text": ""}}
    yield {"type": "content_block_delta", **at, "delta": {"type": "text_delta", "text": text}}
    yield {"type": "content_block_stop", **at}


def _frame(event: Mapping[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), _encode(event))


def _append(channel: Channel, text: str, pointer: str, pieces: list[Piece]) -> None:
    start = channel.length
    channel.length = end = start + len(text)
    channel.pieces.append(text)
    pieces.append(Piece(channel, start, end, pointer))
