"""OpenAI chat completions as a stream: frames in, texts per choice and field out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

import msgspec

from kintsugi.gateway.dialects.changes import Called
from kintsugi.gateway.dialects.dialect import Channel, FrameView, Piece, Problem
from kintsugi.gateway.dialects.json_text import MalformedDocument, json_text, read_json
from kintsugi.gateway.dialects.openai_chat_message import Said, said_in, words
from kintsugi.gateway.dialects.splice import apply_edits, pointer_token
from kintsugi.gateway.dialects.text_tree import TextTree, is_index
from kintsugi.model.content import Edit

_encode = msgspec.json.Encoder().encode
_decode_string = msgspec.json.Decoder(str).decode
_decode = msgspec.json.Decoder().decode

_SILENT_IN_FRAME = words(
    "id object created model choices usage system_fingerprint service_tier obfuscation "
    "provider prompt_filter_results"
)
_SILENT_IN_CHOICE = words(
    "index delta finish_reason logprobs native_finish_reason content_filter_results "
    "stop_reason matched_stop token_ids"
)
_SHAPES_MAX = 4
_DONE = FrameView(closing=True)


class Shape(msgspec.Struct, frozen=True):
    """A frame that was read in full, with its one text cut out.

    Most frames of a stream differ in that text alone. Where the bytes before and after it are
    the same, and what stands between them is one JSON string, the frame is the same document with
    another text, and needs no reading again.
    """

    before: bytes
    after: bytes
    channel: Channel
    pointer: str
    before_bytes: int
    after_bytes: int


class ChatStream:
    """Reads one streamed answer."""

    def __init__(self) -> None:
        self.channels: list[Channel] = []
        self.model = ""
        self.input_tokens = 0
        self.output_tokens = 0
        self._by_path: dict[str, Channel] = {}
        self._shapes: list[Shape] = []
        self._frames = 0
        self._began: set[int] = set()
        self._open: set[int] = set()
        self._reasons: dict[int, str] = {}
        self._template: dict[str, Any] = {}

    @property
    def all_finished(self) -> bool:
        """See ``StreamReader``."""
        return not self._open and bool(self._began)

    def read(self, data: bytes) -> FrameView:
        """See ``StreamReader``."""
        for shape in self._shapes:
            if data.startswith(shape.before) and data.endswith(shape.after):
                try:
                    text = _decode_string(data[shape.before_bytes : -shape.after_bytes])
                except (msgspec.DecodeError, UnicodeDecodeError):
                    continue
                self._frames += 1
                return FrameView((_append(shape.channel, text, shape.pointer),))
        if data.strip() == b"[DONE]":
            return _DONE
        document = read_json(data)
        if type(document) is not dict:
            raise MalformedDocument("a frame must be a JSON object")
        self._frames += 1
        view = self._read_frame(document)
        if len(view.pieces) == 1 and not view.finishes:
            self._learn(data, document, view.pieces[0])
        return view

    def read_opaque(self, text: str) -> FrameView:
        """See ``StreamReader``."""
        self._frames += 1
        return FrameView((self._closed_piece(text, ""),))

    def clears(self, piece: Piece) -> Sequence[str]:
        """See ``StreamReader``. Log probabilities spell the text out token by token."""
        tokens = piece.pointer.split("/")
        return (f"/choices/{tokens[2]}/logprobs",) if tokens[1:2] == ["choices"] else ()

    def stop_frames(self, problem: Problem, released: Set[int]) -> bytes:
        """See ``StreamReader``."""
        base = {"id": "chatcmpl-stopped", "created": 0, "model": self.model, **self._template}
        frames = [
            {
                **base,
                "object": "chat.completion.chunk",
                "choices": [{"index": choice, "delta": {}, "finish_reason": "content_filter"}],
                "policy_violation": problem,
            }
            for choice in sorted(self._began - released)
        ]
        return b"".join(b"data: %b\n\n" % _encode(frame) for frame in frames) + b"data: [DONE]\n\n"

    def confirmation_frames(
        self, say: Callable[[Sequence[Called]], str], said: Mapping[str, str], released: Set[int]
    ) -> tuple[bytes, int]:
        """Frames that end every choice, with words in the place of its tool calls.

        Args:
            said: contents that have not gone out, by the path of their text.
            released: see ``stop_frames``.

        Returns:
            The frames, and how many calls they stand for.
        """
        base = {"id": "chatcmpl-confirm", "created": 0, "model": self.model, **self._template}
        frames: list[dict[str, Any]] = []
        count = 0
        for choice in sorted(self._began - released):
            at = f"/choices/{choice}/message/"
            calls = [
                Called(channel.name, channel.text())
                for channel in self.channels
                if channel.kind == "tool_call" and channel.path.startswith(at)
            ]
            count += len(calls)
            words = said.get(f"{at}content", "")
            if calls:
                words += say(calls) if not words else f"\n\n{say(calls)}"
            reason = "stop" if calls else self._reasons.get(choice, "stop")
            for delta, end in (({"content": words}, None), ({}, reason)):
                if delta != {"content": ""}:
                    one = {"index": choice, "delta": delta, "finish_reason": end}
                    frames.append({**base, "object": "chat.completion.chunk", "choices": [one]})
        return b"".join(b"data: %b\n\n" % _encode(frame) for frame in frames), count

    def whole(self, edits: Sequence[Edit]) -> bytes:
        """See ``StreamReader``. Texts in frames that have no reading stand under ``frames``."""
        by_path: dict[str, list[Edit]] = {}
        for edit in edits:
            by_path.setdefault(edit.path, []).append(edit)
        document: dict[str, Any] = {**self._template, "object": "chat.completion"}
        choices = {index: TextTree() for index in sorted(self._began)}
        frames = TextTree()
        for channel in self.channels:
            text = channel.text()
            if channel.path in by_path:
                text = apply_edits(text, by_path[channel.path])
            tokens = channel.path.split("/")[1:]
            if tokens[0] == "choices":
                choices[int(tokens[1])].put(tokens[3:], text, channel.name)
            else:
                frames.put(tokens[1:], text, "")
        document["choices"] = [
            {
                "index": index,
                "message": {"role": "assistant", **(node.plain() if node.below else {})},
                "finish_reason": self._reasons.get(index),
            }
            for index, node in choices.items()
        ]
        if frames.below:
            document["frames"] = {number: node.plain() for number, node in frames.below.items()}
        if self.input_tokens or self.output_tokens:
            document["usage"] = {
                "prompt_tokens": self.input_tokens,
                "completion_tokens": self.output_tokens,
            }
        return _encode(document)

    def _read_frame(self, document: dict[str, Any]) -> FrameView:
        model, usage, choices = (document.get(key) for key in ("model", "usage", "choices"))
        if type(model) is str and not self.model:
            self.model = model
            self._template = {
                key: document[key] for key in ("id", "created", "model") if key in document
            }
        if type(usage) is dict:
            sent, received = usage.get("prompt_tokens"), usage.get("completion_tokens")
            self.input_tokens = sent if type(sent) is int else self.input_tokens
            self.output_tokens = received if type(received) is int else self.output_tokens
        pieces: list[Piece] = []
        finishes: list[int] = []
        if type(choices) is list:
            for position, choice in enumerate(choices):
                self._read_choice(choice, f"/choices/{position}", pieces, finishes)
        elif choices is not None:
            raise MalformedDocument('"choices" must be a list')
        if not document.keys() <= _SILENT_IN_FRAME:
            self._read_unknown(document, _SILENT_IN_FRAME, "", pieces)
        return FrameView(pieces, finishes)

    def _read_choice(
        self, choice: object, pointer: str, pieces: list[Piece], finishes: list[int]
    ) -> None:
        if type(choice) is not dict:
            raise MalformedDocument("a choice must be an object")
        index = choice.get("index", 0)
        if type(index) is not int or index < 0:
            raise MalformedDocument("the index of a choice must be a whole number")
        if index not in self._began:
            self._began.add(index)
            self._open.add(index)
        delta = choice.get("delta")
        if type(delta) is dict:
            for said in said_in(delta):
                piece = self._said(index, said, f"{pointer}/delta")
                if piece.end > piece.start:
                    pieces.append(piece)
        elif delta is not None:
            raise MalformedDocument("a delta must be an object")
        reason = choice.get("finish_reason")
        if type(reason) is str:
            self._open.discard(index)
            self._reasons[index] = reason
            finishes.append(index)
        elif pieces:
            self._open.add(index)  # it goes on after its end: some servers do that
        if not choice.keys() <= _SILENT_IN_CHOICE:
            self._read_unknown(choice, _SILENT_IN_CHOICE, pointer, pieces)

    def _said(self, choice: int, said: Said, pointer: str) -> Piece:
        path = f"/choices/{choice}/message{said.path}"
        channel = self._by_path.get(path)
        if channel is None:
            channel = Channel(path, said.kind, rank=_rank(choice, said.path))
            self._by_path[path] = channel
            self.channels.append(channel)
        if said.name:
            channel.name += said.name
        return _append(channel, said.text, pointer + said.pointer)

    def _read_unknown(
        self, found: dict[str, Any], known: frozenset[str], pointer: str, pieces: list[Piece]
    ) -> None:
        """Take in fields without a known reading as texts of their own."""
        for key, value in found.items():
            if key not in known and isinstance(value, str | list | dict) and value:
                text = value if isinstance(value, str) else json_text(value)
                pieces.append(self._closed_piece(text, f"{pointer}/{pointer_token(key)}"))

    def _closed_piece(self, text: str, pointer: str) -> Piece:
        path = f"/frames/{self._frames}{pointer}"
        channel = Channel(path, "text", rank=(1 << 30, self._frames, pointer), closed=True)
        self.channels.append(channel)
        return _append(channel, text, pointer)

    def _learn(self, data: bytes, document: dict[str, Any], piece: Piece) -> None:
        """Keep the shape of this frame, if its text is surely the one string that was cut out."""
        if b"\\" in data or b'"name"' in data or piece.channel.closed:
            return  # an escaped string has no single spelling; a tool's name is a second text
        string = _encode(piece.channel.pieces[-1])
        before, found, after = data.partition(string)
        if not found or string in after:
            return
        probe = "\x00kintsugi\x00"
        try:
            twin = _decode(before + _encode(probe) + after)
        except msgspec.DecodeError:
            return
        holder, key = _holder(document, piece.pointer), piece.pointer.rpartition("/")[2]
        original, holder[key] = holder[key], probe
        same = twin == document
        holder[key] = original
        if same:
            shape = Shape(before, after, piece.channel, piece.pointer, len(before), len(after))
            self._shapes.insert(0, shape)
            del self._shapes[_SHAPES_MAX:]


def _append(channel: Channel, text: str, pointer: str) -> Piece:
    start = channel.length
    channel.length = end = start + len(text)
    channel.pieces.append(text)
    return Piece(channel, start, end, pointer)


def _rank(choice: int, path: str) -> tuple[int | str, ...]:
    """The order of ``said_in``: content first, then fields by name, tool calls by number."""
    field, _, rest = path[1:].partition("/")
    number, _, below = rest.partition("/")
    return (
        choice,
        int(field != "content"),
        field,
        int(number) if is_index(number) else 0,
        below,
    )


def _holder(document: Any, pointer: str) -> dict[str, Any]:
    """The object that holds the value at a pointer of ours (ours need no unescaping here)."""
    for token in pointer.split("/")[1:-1]:
        document = document[int(token)] if isinstance(document, list) else document[token]
    return document  # type: ignore[no-any-return]
