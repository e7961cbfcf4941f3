"""OpenAI responses as a stream: events in, texts per item and part out.

Events either add to a text (``….delta``) or state one whole: ``….done``, an item, a content part,
the response itself. An answer of one sentence states it four times beside its deltas. What is
stated again is the same text at another place, so an edit is made wherever it stands; what is
stated differently is judged as a text of its own.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

import msgspec

from kintsugi.gateway.dialects.dialect import Channel, FrameView, Piece, Problem
from kintsugi.gateway.dialects.json_text import MalformedDocument, json_text, read_json
from kintsugi.gateway.dialects.openai_error import error_object
from kintsugi.gateway.dialects.openai_responses_document import (
    SETTINGS_OF_ANSWER,
    read_response_document,
    read_usage,
)
from kintsugi.gateway.dialects.openai_responses_events import (
    BESIDE_TEXT,
    GROWING,
    LAST,
    PLACES,
    SILENT,
    SILENT_IN_EVENT,
    Place,
)
from kintsugi.gateway.dialects.openai_responses_items import read_block, read_item, tool_name
from kintsugi.gateway.dialects.splice import apply_edits, pointer_token
from kintsugi.gateway.dialects.text_tree import TextTree, path_rank, strings_in
from kintsugi.model.content import Edit, Part

_encode = msgspec.json.Encoder().encode


# Of an item, what is kept for the whole answer besides its texts.
_KEPT_OF_ITEM = ("type", "id", "status", "role", "call_id", "name", "server_label")
_TEMPLATE = SETTINGS_OF_ANSWER - {"usage"}
_NO_TEXT = TextTree()
_LAST_RANK = 1 << 30
# Texts that come in deltas. Each is looked at with every read, so there must be a bound.
_GROWING_MAX = 1_024


class ResponseStream:
    """Reads one streamed answer."""

    def __init__(self) -> None:
        self.channels: list[Channel] = []
        self.model = ""
        self.input_tokens = 0
        self.output_tokens = 0
        self.all_finished = False
        self._by_path: dict[str, Channel] = {}
        self._asides: dict[tuple[str, str], Channel] = {}
        self._frames = 0
        self._sequence_number = -1
        self._template: dict[str, Any] = {}
        self._items: dict[int, dict[str, Any]] = {}
        self._indexes: dict[str, int] = {}  # of items by their ids
        self._growing = 0
        self._latest = 0  # the index of the item that an event without one is about

    def read(self, data: bytes) -> FrameView:
        """See ``StreamReader``."""
        if data.strip() == b"[DONE]":
            return FrameView(closing=True)
        event = read_json(data)
        if type(event) is not dict:
            raise MalformedDocument("a frame must be a JSON object")
        kind = event.get("type", "")
        if type(kind) is not str:
            raise MalformedDocument('"type" must be the name of an event')
        self._frames += 1
        number = event.get("sequence_number")
        if type(number) is int:
            self._sequence_number = max(number, self._sequence_number)
        if not kind and "delta" in event:
            raise MalformedDocument("an event does not say of what its delta is")
        pieces: list[Piece] = []
        known = self._read_event(kind, event, pieces)
        for key, value in event.items():
            if key not in SILENT and key not in known:
                self._read_unknown(key, value, pieces)
        if kind in LAST:
            self.all_finished = True
        return FrameView(pieces, closing=kind in LAST)

    def read_opaque(self, text: str) -> FrameView:
        """See ``StreamReader``."""
        self._frames += 1
        return FrameView((self._aside(Part("assistant", "text", text, ""), ""),))

    def clears(self, piece: Piece) -> Sequence[str]:
        """See ``StreamReader``. Log probabilities spell the text out token by token."""
        return (logprobs_beside(piece.pointer),)

    def stop_frames(self, problem: Problem, released: Set[int]) -> bytes:  # noqa: ARG002
        """See ``StreamReader``.

        Two events: ``response.failed`` tells those who follow the response's state; the SDKs
        raise the ``error`` after it as an ``APIError``, so a stopped answer is never taken for a
        short one. They do so for an object under ``error``; the documented shape is flat.
        """
        number = self._sequence_number + 1
        details = error_object(problem)
        response = {
            "id": "resp_stopped",
            "object": "response",
            "created_at": 0,
            "model": self.model,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            **self._template,
            "status": "failed",
            "error": details,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "output": [],
            "tools": [],
        }
        failed = {"type": "response.failed", "sequence_number": number, "response": response}
        error = {
            "type": "error",
            "sequence_number": number + 1,
            "code": problem.code,
            "message": problem.message,
            "param": None,
            "error": details,
        }
        return b"event: response.failed\ndata: %b\n\nevent: error\ndata: %b\n\n" % (
            _encode(failed),
            _encode(error),
        )

    def whole(self, edits: Sequence[Edit]) -> bytes:
        """See ``StreamReader``. Texts that are stated differently elsewhere in the stream, and
        those of events without a reading, stand under ``frames`` and ``events``."""
        by_path: dict[str, list[Edit]] = {}
        for edit in edits:
            by_path.setdefault(edit.path, []).append(edit)
        root = TextTree()
        for channel in self.channels:
            text = channel.text()
            if channel.path in by_path:
                text = apply_edits(text, by_path[channel.path])
            root.put(channel.path.split("/")[1:], text, "")
        texts = root.below.pop("output", TextTree()).below
        document = {"object": "response", **self._template}
        document["output"] = [
            {**self._items.get(index, {}), **texts.get(str(index), _NO_TEXT).fields()}
            for index in sorted({*self._items, *map(int, texts)})
        ]
        document |= root.fields()
        if self.input_tokens or self.output_tokens:
            document["usage"] = {
                "input_tokens": self.input_tokens,
                "output_tokens": self.output_tokens,
            }
        return _encode(document)

    def _read_event(self, kind: str, event: dict[str, Any], pieces: list[Piece]) -> Set[str]:
        """Read what an event says in the fields that its type has; return those it answers for."""
        name, _, verb = kind.rpartition(".")
        place = PLACES.get(name)
        if place is not None:
            return self._read_text(event, place, verb, pieces)
        response = event.get("response")
        if name == "response" and type(response) is dict:
            self._read_response(response, kind, pieces)
            return {"response"}
        parts: list[Part] = []
        if name == "response.output_item":
            index = self._item_index(event)
            key, at = "item", f"/output/{index}"
            read_item(event.get(key), at, "assistant", parts)
            self._items[index] = _outline(event[key])
        elif name in ("response.content_part", "response.reasoning_part"):
            key, at = "part", self._part_path(event, "content", "content_index")
            block = event.get(key)
            reasons = isinstance(block, dict) and block.get("type") == "reasoning_text"
            read_block(block, at, "reasoning" if reasons else "text", "assistant", parts)
        elif name == "response.reasoning_summary_part":
            key, at = "part", self._part_path(event, "summary", "summary_index")
            read_block(event.get(key), at, "reasoning", "assistant", parts)
        elif kind == "response.output_text.annotation.added":
            index = _index(event, "annotation_index")
            key, verb = "annotation", "done"
            at = f"{self._part_path(event, 'content', 'content_index')}/annotations/{index}"
            read_block(event.get(key), at, "tool_result", "tool", parts)
        elif kind in SILENT_IN_EVENT:
            return SILENT_IN_EVENT[kind]
        else:
            return self._read_unknown_delta(kind, event, pieces)
        for part in parts:
            self._state(part, f"/{key}{part.path[len(at) :]}", pieces, final=verb == "done")
        return {key, "status"}

    def _read_text(
        self, event: dict[str, Any], place: Place, verb: str, pieces: list[Piece]
    ) -> Set[str]:
        """Read an event that brings the next piece of one text, or all of it."""
        key = "delta" if verb == "delta" else place.whole
        text = event.get(key)
        if type(text) is not str:
            return BESIDE_TEXT  # judged as what it is
        if place.index:
            path = self._part_path(event, place.field, place.index) + place.below
        else:
            path = f"/output/{self._item_index(event)}/{place.field}"
        name = tool_name(self._items.get(self._latest, {})) if place.kind == "tool_call" else ""
        part = Part("assistant", place.kind, text, path, 0, name)
        if verb == "delta":
            self._add(part, pieces)
        else:
            self._state(part, "/" + key, pieces, final=verb == "done")
        return BESIDE_TEXT | {key}

    def _read_response(self, response: dict[str, Any], kind: str, pieces: list[Piece]) -> None:
        """Read the response as it stands."""
        model = response.get("model")
        if type(model) is str and not self.model:
            self.model = model
        sent, received = read_usage(response)
        self.input_tokens = sent or self.input_tokens
        self.output_tokens = received or self.output_tokens
        self._template |= {k: v for k, v in response.items() if k in _TEMPLATE}
        parts: list[Part] = []
        read_response_document(response, parts)
        for index, item in enumerate(response.get("output") or ()):
            self._items[index] = _outline(item)
        for part in parts:
            final = kind in LAST or not part.path.startswith("/output/")
            self._state(part, "/response" + part.path, pieces, final=final)

    def _item_index(self, event: dict[str, Any]) -> int:
        """Which item an event is about. Servers that leave ``output_index`` out name the item, or
        mean the one that was opened last."""
        item = event.get("item")
        item = item if isinstance(item, dict) else {}
        names = [event.get("item_id"), event.get("call_id"), item.get("id"), item.get("call_id")]
        ids = [name for name in names if type(name) is str and name]
        if event.get("output_index") is not None:
            index = _index(event, "output_index")
        else:
            known = [self._indexes[name] for name in ids if name in self._indexes]
            opens = event.get("type") == "response.output_item.added" and self._items
            index = known[0] if known else max(self._items) + 1 if opens else self._latest
        for name in ids:
            self._indexes.setdefault(name, index)
        self._latest = index
        return index

    def _part_path(self, event: dict[str, Any], field: str, index: str) -> str:
        return f"/output/{self._item_index(event)}/{field}/{_index(event, index)}"

    def _add(self, part: Part, pieces: list[Piece]) -> None:
        """Take in a text's next piece."""
        text = part.text
        channel = self._by_path.get(part.path)
        if channel is None:
            channel = self._open(part)
        elif channel.closed and text:
            raise MalformedDocument("a text goes on after it was done")
        if text:
            start = channel.length
            channel.length = end = start + len(text)
            channel.pieces.append(text)
            pieces.append(Piece(channel, start, end, "/delta"))

    def _state(self, part: Part, pointer: str, pieces: list[Piece], *, final: bool) -> None:
        """Take in a text that is stated whole: for the first time, again, or differently.

        Args:
            final: it will not grow. Otherwise deltas may follow, where they can.
        """
        text = part.text
        channel = self._by_path.get(part.path)
        if channel is None and (final or GROWING.fullmatch(part.path)):
            channel = self._open(part, grows=not final)
        if channel is None or not _may_become(text, channel, final=final):
            if text:
                pieces.append(self._aside(part, pointer))
            return
        if channel.length < len(text):
            channel.pieces.append(text[channel.length :])
            channel.length = len(text)
        channel.name = channel.name or part.name
        channel.closed = channel.closed or final
        if text:
            pieces.append(Piece(channel, 0, len(text), pointer))

    def _open(self, part: Part, *, grows: bool = True) -> Channel:
        self._growing += grows
        if self._growing > _GROWING_MAX:
            raise MalformedDocument("the stream has more texts than an answer can have")
        channel = Channel(part.path, part.kind, rank=path_rank(part.path), role=part.role)
        channel.name = part.name
        self._by_path[part.path] = channel
        self.channels.append(channel)
        return channel

    def _aside(self, part: Part, pointer: str) -> Piece:
        """A text beside the answer itself: judged once, however often it is stated."""
        channel = self._asides.get((part.path, part.text))
        if channel is None:
            rank = (_LAST_RANK, self._frames, pointer)
            path = f"/frames/{self._frames}{pointer}"
            channel = Channel(path, part.kind, rank=rank, role=part.role, closed=True)
            channel.name = part.name
            channel.pieces.append(part.text)
            channel.length = len(part.text)
            self.channels.append(channel)
            self._asides[part.path, part.text] = channel
        return Piece(channel, 0, channel.length, pointer)

    def _read_unknown(self, key: str, value: object, pieces: list[Piece]) -> None:
        """Take in a field without a known reading as a text of its own."""
        if isinstance(value, str | list | dict) and value:
            text = value if isinstance(value, str) else json_text(value)
            pointer = "/" + pointer_token(key)
            pieces.append(self._aside(Part("assistant", "text", text, pointer), pointer))

    def _read_unknown_delta(
        self, kind: str, event: dict[str, Any], pieces: list[Piece]
    ) -> Set[str]:
        """Join the pieces of a text that no reading is known for, string by string."""
        if "delta" not in event:
            return set()
        indexes = [
            str(event[key]) for key in sorted(event) if key.endswith("_index") or key == "item_id"
        ]
        at = "/".join(["/events", *map(pointer_token, [kind, *indexes])])
        for below, text in strings_in(event["delta"], ""):
            channel = self._by_path.get(at + below)
            if channel is None:
                channel = self._open(Part("assistant", "text", "", at + below))
            start = channel.length
            channel.length = end = start + len(text)
            channel.pieces.append(text)
            pieces.append(Piece(channel, start, end, "/delta" + below))
        return {"delta"}


def logprobs_beside(pointer: str) -> str:
    """Where the log probabilities of the text at a pointer stand."""
    return pointer.rpartition("/")[0] + "/logprobs"


def _may_become(text: str, channel: Channel, *, final: bool) -> bool:
    """Whether a channel holds this text, or would with more of it: at its end, which may bring
    what no delta brought, or before its beginning."""
    if len(text) != channel.length:
        grows = len(text) > channel.length and not channel.closed
        if not grows or (channel.length and not final):
            return False
    return text.startswith("".join(channel.pieces))


def _outline(item: dict[str, Any]) -> dict[str, Any]:
    """What evidence keeps of an item besides its texts."""
    return {key: item[key] for key in _KEPT_OF_ITEM if key in item}


def _index(event: dict[str, Any], key: str) -> int:
    index = event.get(key, 0)
    if type(index) is not int or index < 0:
        raise MalformedDocument(f'"{key}" must be a whole number')
    return index
