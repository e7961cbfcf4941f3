"""Frames of each dialect that bring given pieces of an answer, as its servers write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from kintsugi.gateway.dialects.openai_responses_events import GROWING, PLACES
from kintsugi.gateway.dialects.text_tree import is_index

_encode = msgspec.json.Encoder().encode

_FINAL: Final = frozenset(("completed", "failed", "incomplete", "cancelled"))


class Unframed(Exception):
    """A piece cannot be brought by a frame."""


def put(into: Any, tokens: list[str], text: str) -> None:
    """Set a text in objects and lists that are made on the way; lists of objects with an ``index``
    stand for gaps."""
    key = _plain(tokens[0])
    if len(tokens) == 1:
        into[key] = into.get(key, "") + text
        return
    if is_index(tokens[1]):
        if len(tokens) == 2:
            raise Unframed("a list of texts")
        entries = into.setdefault(key, [])
        index = int(tokens[1])
        entry = next((one for one in entries if one["index"] == index), None)
        if entry is None:
            entry = {"index": index}
            entries.append(entry)
        put(entry, tokens[2:], text)
        return
    put(into.setdefault(key, {}), tokens[1:], text)


def _plain(token: str) -> str:
    return token.replace("~1", "/").replace("~0", "~")


def _data(document: Any) -> bytes:
    return b"data: %b\n\n" % _encode(document)


def _event(document: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (document["type"].encode(), _encode(document))


def _opaque(text: str) -> bytes:
    """A frame that nobody could read, so that it passed as it was."""
    return b"".join(b"data: %b\n" % line for line in text.encode().split(b"\n")) + b"\n"


def _fillers(number: int, path: str, filler: bytes) -> Iterator[bytes]:
    """Frames that say nothing, until the next has the number that a path names."""
    wanted = int(path.split("/")[2])
    if wanted <= number:
        raise Unframed(f"{path} comes too late")
    yield from [filler] * (wanted - number - 1)


class ChatFrames:
    """Of OpenAI chat completions."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self._answer = answer
        self._head: dict[str, Any] = {
            key: answer[key] for key in ("id", "created", "model") if key in answer
        }
        self._head["object"] = "chat.completion.chunk"
        self._named: set[str] = set()
        self._begun = False
        self._choices = {one["index"]: one for one in answer["choices"]}

    def begin(self) -> Iterator[bytes]:
        """See ``Frames``. It goes with the first frame that says something."""
        return iter(())

    def frame(self, number: int, pieces: Mapping[str, str]) -> Iterator[bytes]:
        """See ``Frames``."""
        deltas: dict[int, dict[str, Any]] = {}
        document: dict[str, Any] = {**self._head, "choices": []}
        beside = next((path for path in pieces if path.startswith("/frames/")), "")
        if beside:
            yield from _fillers(number, beside, _data({"choices": []}))
        for path, text in pieces.items():
            tokens = path.split("/")[1:]
            if tokens[0] == "frames":
                if len(tokens) == 2:
                    yield _opaque(text)
                    return
                put(document, tokens[2:], text)
                continue
            delta = deltas.setdefault(int(tokens[1]), {})
            put(delta, tokens[3:], text)
            self._name(delta, tokens)
        if deltas:
            self._begin(deltas)
        document["choices"] += [{"index": one, "delta": deltas[one]} for one in deltas]
        yield _data(document)

    def _begin(self, deltas: dict[int, dict[str, Any]]) -> None:
        if not self._begun:
            self._begun = True
            for index in self._choices:
                deltas.setdefault(index, {})["role"] = "assistant"

    def _name(self, delta: dict[str, Any], tokens: list[str]) -> None:
        """The name of a tool stands beside its first piece."""
        holder = "/".join(tokens[:-1])
        if tokens[3] not in ("tool_calls", "function_call") or holder in self._named:
            return
        self._named.add(holder)
        message = self._choices[int(tokens[1])]["message"]
        if tokens[3] == "function_call":
            name, into = message["function_call"].get("name", ""), delta["function_call"]
        else:
            entry = next(e for e in delta["tool_calls"] if e["index"] == int(tokens[4]))
            into = entry[tokens[5]]
            name = self._name_of(message["tool_calls"], int(tokens[4]), tokens[5])
        if name:
            into["name"] = name

    def _name_of(self, calls: list[Any], index: int, kind: str) -> str:
        # Lists of the whole answer hold no gaps; few servers leave any.
        found = calls[index] if index < len(calls) else {}
        return str(found.get(kind, {}).get("name", ""))

    def rest(self, wordless: Sequence[str]) -> Iterator[bytes]:  # noqa: ARG002
        """See ``Frames``."""
        deltas: dict[int, dict[str, Any]] = {}
        self._begin(deltas)
        if deltas or "model" in self._head:
            choices = [{"index": one, "delta": deltas[one]} for one in deltas]
            yield _data({**self._head, "choices": choices})
        for index, choice in self._choices.items():
            yield from self._wordless(index, choice)

    def closed(self) -> Iterator[bytes]:
        """See ``Frames``. Only the end of the stream closes a text here."""
        return iter(())

    def end(self) -> Iterator[bytes]:
        """See ``Frames``."""
        for index, choice in self._choices.items():
            if choice["finish_reason"] is not None:
                last = {"index": index, "delta": {}, "finish_reason": choice["finish_reason"]}
                yield _data({**self._head, "choices": [last]})
        if "usage" in self._answer:
            yield _data({**self._head, "choices": [], "usage": self._answer["usage"]})
        yield b"data: [DONE]\n\n"

    def _wordless(self, index: int, choice: dict[str, Any]) -> Iterator[bytes]:
        """Calls of tools without arguments: their names are all there is of them."""
        for number, call in enumerate(choice["message"].get("tool_calls") or ()):
            for kind in ("function", "custom"):
                named = call.get(kind) if isinstance(call, dict) else None
                holder = f"choices/{index}/message/tool_calls/{number}/{kind}"
                if named and named.get("name") and holder not in self._named:
                    entry = {"index": number, kind: {**named}}
                    delta = {"tool_calls": [entry]}
                    yield _data({**self._head, "choices": [{"index": index, "delta": delta}]})


class AnthropicFrames:
    """Of Anthropic messages."""

    _TEMPLATE = ("id", "type", "role", "model")
    _GROWING: Final = frozenset(("text", "thinking", "input", "signature"))
    _DELTAS: Final = {
        "text": ("text_delta", "text"),
        "thinking": ("thinking_delta", "thinking"),
        "input": ("input_json_delta", "partial_json"),
        "signature": ("signature_delta", "signature"),
    }

    def __init__(self, answer: dict[str, Any]) -> None:
        self._answer = answer
        self._open: int | None = None
        self._opened: set[int] = set()
        self._said: dict[int, int] = {}  # characters of each block

    def begin(self) -> Iterator[bytes]:
        """See ``Frames``."""
        message = {key: self._answer[key] for key in self._TEMPLATE if key in self._answer}
        if "model" in message or "usage" in self._answer:
            message |= {"content": [], "usage": self._answer.get("usage", {})}
            yield _event({"type": "message_start", "message": message})

    def frame(self, number: int, pieces: Mapping[str, str]) -> Iterator[bytes]:
        """See ``Frames``."""
        for path, text in pieces.items():
            tokens = path.split("/")[1:]
            if tokens[0] == "content":
                index = int(tokens[1])
                made = [*self._until(index)]
                number += len(made)
                yield from made
                if len(tokens) > 3 or tokens[2] not in self._GROWING:
                    continue  # it came with the beginning of its block
                kind, field = self._DELTAS[tokens[2]]
                delta = {"type": kind, field: text}
                self._said[index] = self._said.get(index, 0) + len(text)
                yield _event({"type": "content_block_delta", "index": index, "delta": delta})
            elif tokens[0] == "frames":
                due = [*self._due(int(tokens[1]) - number - 1)]
                yield from due
                number += len(due)
                yield from _fillers(number, path, _event({"type": "ping"}))
                number = int(tokens[1]) - 1
                yield self._beside(tokens[2:], text)
            elif tokens[0] in ("stop_sequence", "stop_details"):
                yield from self._last()
            else:
                raise Unframed(path)
            number += 1

    def _until(self, index: int) -> Iterator[bytes]:
        """Blocks are opened in their order, each after the one before it has ended."""
        if index in self._opened:
            if index != self._open:
                raise Unframed("a block goes on after the next one began")
            return
        for one in range(len(self._opened), index + 1):
            yield from self._close()
            yield _event(
                {"type": "content_block_start", "index": one, "content_block": self._start(one)}
            )
            self._open = one
            self._opened.add(one)

    def _due(self, most: int) -> Iterator[bytes]:
        """Up to so many frames that come next between two texts: a block's end, and the next's
        beginning."""
        index = self._open
        if most > 0 and not self._opened and self._answer["content"]:
            yield from self._until(0)
            return
        if most < 1 or index is None or self._said.get(index, 0) < self._length(index):
            return
        yield from self._close()
        if most > 1 and index + 1 < len(self._answer["content"]):
            yield from self._until(index + 1)

    def _length(self, index: int) -> int:
        block = self._answer["content"][index]
        return sum(len(block[field]) for field in self._GROWING & block.keys())

    def _start(self, index: int) -> dict[str, Any]:
        block = dict(self._answer["content"][index])
        for field in self._GROWING & block.keys():
            block[field] = {} if field == "input" else ""
        return block

    def _close(self) -> Iterator[bytes]:
        if self._open is not None:
            yield _event({"type": "content_block_stop", "index": self._open})
            self._open = None

    def _beside(self, tokens: list[str], text: str) -> bytes:
        if not tokens:
            return _opaque(text)
        document: dict[str, Any] = {}
        put(document, tokens, text)
        kinds = {"error": "error", "delta": "message_delta", "message": "message_start"}
        return _event({"type": kinds.get(tokens[0], "ping"), **document})

    def _last(self) -> Iterator[bytes]:
        yield from self._close()
        delta = {
            key: self._answer[key]
            for key in ("stop_reason", "stop_sequence", "stop_details")
            if key in self._answer
        }
        yield _event({"type": "message_delta", "delta": delta, "usage": self._answer["usage"]})

    def rest(self, wordless: Sequence[str]) -> Iterator[bytes]:  # noqa: ARG002
        """See ``Frames``."""
        last = len(self._answer["content"]) - 1
        if last >= 0 and last not in self._opened:
            yield from self._until(last)

    def closed(self) -> Iterator[bytes]:
        """See ``Frames``."""
        return self._close()

    def end(self) -> Iterator[bytes]:
        """See ``Frames``."""
        yield from self._close()
        if "stop_sequence" not in self._answer and "stop_details" not in self._answer:
            delta = {"stop_reason": self._answer["stop_reason"], "stop_sequence": None}
            usage = self._answer.get("usage", {})
            yield _event({"type": "message_delta", "delta": delta, "usage": usage})
        yield _event({"type": "message_stop"})


class ResponseFrames:
    """Of OpenAI responses."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self._answer = answer
        self._opened: set[int] = set()
        self._done: set[int] = set()
        self._number = 0

    def begin(self) -> Iterator[bytes]:
        """See ``Frames``."""
        response = self._response()
        if response.keys() - {"object", "output"}:
            yield self._numbered({"type": "response.created", "response": response})

    def _response(self) -> dict[str, Any]:
        beside = ("frames", "events", "output")
        kept = {key: value for key, value in self._answer.items() if key not in beside}
        return {**kept, "output": []}

    def frame(self, number: int, pieces: Mapping[str, str]) -> Iterator[bytes]:
        """See ``Frames``."""
        for path, text in pieces.items():
            tokens = path.split("/")[1:]
            if tokens[0] == "output":
                made = [*self._said(path, tokens, text)]
            elif tokens[0] == "frames":
                made = [*self._due(int(tokens[1]) - number - 1)]
                made += _fillers(number + len(made), path, _event({"type": "keepalive"}))
                made.append(self._beside(tokens[2:], text))
            elif tokens[0] in self._response():
                continue  # it came with the beginning
            else:
                raise Unframed(path)
            number += len(made)
            yield from made

    def _said(self, path: str, tokens: list[str], text: str) -> Iterator[bytes]:
        index = int(tokens[1])
        item = self._answer["output"][index]
        yield from self._added(index)
        if GROWING.fullmatch(path):
            yield self._numbered(
                {"output_index": index, **_place(item.get("type", ""), tokens[2:]), "delta": text}
            )
        elif index not in self._done:
            self._done.add(index)
            yield self._item_done(index)

    def _due(self, most: int) -> Iterator[bytes]:
        """Up to so many frames that come between two texts: the beginnings of what comes next."""
        waiting = (one for one in range(len(self._answer["output"])) if one not in self._opened)
        for index in [*waiting][: max(most, 0)]:
            yield from self._added(index)

    def _added(self, index: int) -> Iterator[bytes]:
        if index in self._opened:
            return
        self._opened.add(index)
        item = self._answer["output"][index]
        outline = {key: one for key, one in item.items() if key in _OUTLINE}
        yield self._numbered(
            {"type": "response.output_item.added", "output_index": index, "item": outline}
        )

    def _item_done(self, index: int) -> bytes:
        item = self._answer["output"][index]
        return self._numbered(
            {"type": "response.output_item.done", "output_index": index, "item": item}
        )

    def _beside(self, tokens: list[str], text: str) -> bytes:
        if not tokens:
            return _opaque(text)
        document: dict[str, Any] = {"type": "keepalive"}
        put(document, tokens, text)
        return _event(document)

    def rest(self, wordless: Sequence[str]) -> Iterator[bytes]:
        """See ``Frames``."""
        for index in range(len(self._answer["output"])):
            yield from self._added(index)
        for path in wordless:
            if GROWING.fullmatch(path):
                yield from self._said(path, path.split("/")[1:], "")

    def closed(self) -> Iterator[bytes]:
        """See ``Frames``."""
        for index in range(len(self._answer["output"])):
            yield self._item_done(index)

    def end(self) -> Iterator[bytes]:
        """See ``Frames``."""
        yield from self.closed()
        status = self._answer.get("status")
        kind = status if status in _FINAL else "completed"
        response = {**self._response(), "output": self._answer["output"]}
        yield self._numbered({"type": f"response.{kind}", "response": response})

    def _numbered(self, event: dict[str, Any]) -> bytes:
        event["sequence_number"] = self._number
        self._number += 1
        return _event(event)


_OUTLINE: Final = frozenset(("type", "id", "status", "role", "call_id", "name", "server_label"))
# Which kind of delta brings a text, where its place alone does not tell.
_BY_ITEM: Final = {
    "reasoning": "response.reasoning_text",
    "mcp_call": "response.mcp_call_arguments",
}


def _place(item_type: str, tokens: list[str]) -> dict[str, Any]:
    """The type of the event that adds to a text of an item, and its index there."""
    own = _BY_ITEM.get(item_type, "")
    names = sorted(PLACES, key=lambda name: name != own)
    for name in names:
        place = PLACES[name]
        field = place.field.split("/")
        rest = tokens[len(field) :]
        if tokens[: len(field)] != field:
            continue
        if not place.index and not rest:
            return {"type": f"{name}.delta"}
        if place.index and rest and "/".join(["", *rest[1:]]).rstrip("/") == place.below:
            if name == "response.reasoning_text" and own != name:
                continue
            return {"type": f"{name}.delta", place.index: int(rest[0])}
    raise Unframed("/".join(tokens))
