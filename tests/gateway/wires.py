"""What a test of streams needs of each dialect, so that one test speaks all of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.gateway import playbook
from tests.gateway.playbook import DONE, frame

# Texts that are near a match, a match, and in between.
fragments = st.sampled_from(
    [
        "123-45-6789",
        "123-",
        "45-67",
        "89",
        "9",
        "1",
        "-",
        " ",
        "STOP",
        "ME",
        "S",
        "word ",
        "é😀",
        "\n",
        '"',
    ]
)
near_matches = st.lists(fragments, max_size=3).map("".join)
newlines = st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"])


@dataclass(frozen=True)
class Wire:
    """One dialect from outside.

    Attributes:
        streams: streams that say such texts with all that the dialect has, well-behaved and not.
        stream_of: a well-behaved stream that says these texts, each in a delta of its own.
        answer: the same as an answer that is not streamed.
        contents: what a client reads in a stream, by place.
        text_of: what a client reads in an answer of ``answer``.
    """

    name: str
    target: bytes
    request: Callable[[bool], bytes]
    streams: Callable[[st.SearchStrategy[str]], st.SearchStrategy[bytes]]
    stream_of: Callable[..., bytes]
    answer: Callable[[str], bytes]
    contents: Callable[[bytes], dict[str, str]]
    text_of: Callable[[bytes], str]
    text_at: str

    def __str__(self) -> str:
        return self.name


@st.composite
def chat_streams(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> bytes:
    """Frames that mix two choices, fields, tool calls, comments and unknown frames."""
    frames = [frame({"role": "assistant", "content": ""})]
    for _ in range(draw(st.integers(0, 14))):
        text = draw(texts)
        choice = draw(st.integers(0, 1))
        kind = draw(st.integers(0, 6))
        if kind <= 2:
            frames.append(frame({"content": text}, choice=choice))
        elif kind == 3:
            frames.append(frame({"reasoning_content": text}, choice=choice))
        elif kind == 4:
            call = {"index": draw(st.integers(0, 1)), "function": {"name": "f", "arguments": text}}
            frames.append(frame({"tool_calls": [call]}, choice=choice))
        elif kind == 5:
            frames.append(b": keep-alive\n\n")
        else:
            frames.append(b"event: ping\ndata: " + json.dumps({"note": text}).encode() + b"\n\n")
    ends = [frame({}, choice=choice, finish="stop") for choice in (0, 1)]
    end = draw(st.sampled_from([DONE, b"", b"\n", DONE + b"\n\n"]))
    return b"".join([*frames, *ends, end]).replace(b"\n", draw(newlines))


class Responses:
    """A responses stream in the making: events in their order, and what they add up to.

    Attributes:
        repeated: of the request, besides what every answer here repeats.
    """

    def __init__(self) -> None:
        self.events: list[bytes] = []
        self.items: list[dict[str, Any]] = []
        self.repeated: dict[str, Any] = {}

    def event(self, kind: str, **fields: Any) -> None:
        """One event."""
        data = {"type": kind, "sequence_number": len(self.events), **fields}
        self.events.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps(data).encode()))

    def response(self, status: str, **fields: Any) -> dict[str, Any]:
        """The response as it stands."""
        return {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "status": status,
            "model": "sim-echo-1",
            "instructions": "be kind",
            "output": self.items if status != "in_progress" else [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "text": {"format": {"type": "text"}},
            "usage": None,
            **self.repeated,
            **fields,
        }

    def begin(self) -> None:
        """The first two events."""
        self.event("response.created", response=self.response("in_progress"))
        self.event("response.in_progress", response=self.response("in_progress"))

    def open_message(self) -> int:
        """A message with one empty part; return its index."""
        index = len(self.items)
        message: dict[str, Any] = {"id": f"msg_{index}", "type": "message", "role": "assistant"}
        self.items.append({**message, "status": "completed", "content": [_part("")]})
        added = {**message, "status": "in_progress", "content": []}
        self.event("response.output_item.added", output_index=index, item=added)
        at = {"item_id": message["id"], "output_index": index, "content_index": 0}
        self.event("response.content_part.added", **at, part=_part(""))
        return index

    def open_reasoning(self) -> int:
        """A reasoning item with one empty summary; return its index."""
        index = len(self.items)
        item: dict[str, Any] = {"id": f"rs_{index}", "type": "reasoning", "summary": []}
        self.event("response.output_item.added", output_index=index, item=item)
        part = {"type": "summary_text", "text": ""}
        at = {"item_id": item["id"], "output_index": index, "summary_index": 0}
        self.event("response.reasoning_summary_part.added", **at, part=part)
        self.items.append({**item, "summary": [part]})
        return index

    def open_call(self) -> int:
        """A call of the function ``f``; return its index."""
        index = len(self.items)
        call = {"id": f"fc_{index}", "type": "function_call", "call_id": "c", "name": "f"}
        self.items.append({**call, "arguments": "", "status": "completed"})
        added = {**call, "arguments": "", "status": "in_progress"}
        self.event("response.output_item.added", output_index=index, item=added)
        return index

    def say(self, index: int, text: str) -> None:
        """One delta of what an item says."""
        item = self.items[index]
        at = {"item_id": item["id"], "output_index": index, "delta": text}
        if item["type"] == "message":
            self.event("response.output_text.delta", **at, content_index=0, logprobs=[])
            item["content"][0]["text"] += text
        elif item["type"] == "reasoning":
            self.event("response.reasoning_summary_text.delta", **at, summary_index=0)
            item["summary"][0]["text"] += text
        else:
            self.event("response.function_call_arguments.delta", **at)
            item["arguments"] += text

    def close(self, index: int) -> None:
        """State all of an item."""
        item = self.items[index]
        at = {"item_id": item["id"], "output_index": index}
        if item["type"] == "message":
            part = item["content"][0]
            at["content_index"] = 0
            self.event("response.output_text.done", **at, text=part["text"], logprobs=[])
            self.event("response.content_part.done", **at, part=part)
        elif item["type"] == "reasoning":
            part = item["summary"][0]
            at["summary_index"] = 0
            self.event("response.reasoning_summary_text.done", **at, text=part["text"])
            self.event("response.reasoning_summary_part.done", **at, part=part)
        else:
            self.event("response.function_call_arguments.done", **at, arguments=item["arguments"])
        self.event("response.output_item.done", output_index=index, item=item)

    def end(self) -> bytes:
        """The last event; return the stream."""
        usage = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}
        self.event("response.completed", response=self.response("completed", usage=usage))
        return b"".join(self.events)


def responses_stream_of(*texts: str) -> bytes:
    """A stream whose one message says these texts, one per delta."""
    made = Responses()
    made.begin()
    message = made.open_message()
    for text in texts:
        made.say(message, text)
    made.close(message)
    return made.end()


def responses_answer(text: str) -> bytes:
    """A whole response that says this text in one message."""
    made = Responses()
    made.open_message()
    made.items[0]["content"][0]["text"] = text
    return json.dumps(made.response("completed")).encode()


@st.composite
def responses_streams(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> bytes:
    """Events that mix messages, reasoning, calls, comments and events that nobody knows; some
    providers leave out what others repeat, and some repeat it wrongly."""
    made = Responses()
    made.begin()
    opened = [made.open_message()]
    for _ in range(draw(st.integers(0, 14))):
        text = draw(texts)
        kind = draw(st.integers(0, 7))
        if kind <= 3:
            made.say(draw(st.sampled_from(opened)), text)
        elif kind == 4 and len(opened) < 4:
            ways = (made.open_message, made.open_reasoning, made.open_call)
            opened.append(draw(st.sampled_from(ways))())
        elif kind == 5:
            made.events.append(b": keep-alive\n\n")
        elif kind == 6:
            made.event("response.future_text.delta", output_index=0, delta=text)
        else:
            made.event("response.surprise", note=text)
    for index in opened:
        if draw(st.integers(0, 5)):
            made.close(index)
    if not draw(st.integers(0, 4)):
        made.event("response.output_text.done", output_index=0, content_index=0, text=draw(texts))
    if draw(st.integers(0, 5)):
        made.end()
    end = draw(st.sampled_from([b"", b"\n", DONE]))
    return (b"".join(made.events) + end).replace(b"\n", draw(newlines))


def responses_contents(stream: bytes) -> dict[str, str]:
    """Every text in a stream by place: deltas joined, and what is stated whole as it stands."""
    said: dict[str, str] = {}
    lines = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for number, piece in enumerate(lines.split(b"\n\n")):
        data = b"".join(x[6:] for x in piece.split(b"\n") if x.startswith(b"data: "))
        if not data or data == b"[DONE]":
            continue
        event = json.loads(data)
        if event["type"].endswith(".delta"):
            places = (str(event.get(key, "")) for key in ("output_index", "content_index"))
            at = "/".join([event["type"], *places])
            said[at] = said.get(at, "") + event["delta"]
        else:
            said |= {f"{number}{at}": text for at, text in strings(event) if at != "/type"}
    return {at: text for at, text in said.items() if text}


def strings(value: Any, at: str = "") -> list[tuple[str, str]]:
    """Every string in a document with its place."""
    if isinstance(value, str):
        return [(at, value)]
    if isinstance(value, dict):
        return [found for key, x in value.items() for found in strings(x, f"{at}/{key}")]
    if isinstance(value, list):
        return [found for key, x in enumerate(value) for found in strings(x, f"{at}/{key}")]
    return []


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


class Messages:
    """An Anthropic stream in the making: events in their order."""

    def __init__(self) -> None:
        self.events: list[bytes] = []
        self.kinds: list[str] = []

    def event(self, kind: str, **fields: Any) -> None:
        """One event."""
        data = json.dumps({"type": kind, **fields}).encode()
        self.events.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), data))

    def begin(self) -> None:
        """The first event."""
        self.event("message_start", message=message([], usage={"input_tokens": 11}))

    def open(self, kind: str = "text") -> int:
        """An empty block; return its index."""
        index = len(self.kinds)
        self.kinds.append(kind)
        fields: dict[str, dict[str, Any]] = {
            "text": {"text": ""},
            "thinking": {"thinking": "", "signature": ""},
            "tool_use": {"id": f"toolu_{index}", "name": "f", "input": {}},
        }
        block = {"type": kind, **fields[kind]}
        self.event("content_block_start", index=index, content_block=block)
        return index

    def delta(self, index: int, **delta: Any) -> None:
        """One delta of any kind."""
        self.event("content_block_delta", index=index, delta=delta)

    def say(self, index: int, text: str) -> None:
        """One delta of what a block says."""
        kind, field = {
            "text": ("text_delta", "text"),
            "thinking": ("thinking_delta", "thinking"),
            "tool_use": ("input_json_delta", "partial_json"),
        }[self.kinds[index]]
        self.delta(index, type=kind, **{field: text})

    def close(self, index: int) -> None:
        """Sign what was thought, and end a block."""
        if self.kinds[index] == "thinking":
            self.delta(index, type="signature_delta", signature="c2lnbmVk")
        self.event("content_block_stop", index=index)

    def end(self) -> bytes:
        """The last events; return the stream."""
        delta = {"stop_reason": "end_turn", "stop_sequence": None}
        self.event("message_delta", delta=delta, usage={"output_tokens": 7})
        self.event("message_stop")
        return b"".join(self.events)


def message(content: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """An Anthropic answer."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "sim-echo-1",
        "content": content,
        "stop_reason": None,
        "stop_sequence": None,
        **fields,
    }


def messages_stream_of(*texts: str) -> bytes:
    """A stream whose one block says these texts, one per delta."""
    made = Messages()
    made.begin()
    block = made.open()
    for text in texts:
        made.say(block, text)
    made.close(block)
    return made.end()


@st.composite
def messages_streams(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> bytes:
    """Events that mix texts, thoughts and calls, also at the same time, citations, pings, and
    events and deltas that nobody knows; some servers forget to end what they began."""
    made = Messages()
    made.begin()
    opened = [made.open()]
    for _ in range(draw(st.integers(0, 14))):
        text = draw(texts)
        kind = draw(st.integers(0, 8))
        if kind <= 3:
            made.say(draw(st.sampled_from(opened)), text)
        elif kind == 4 and len(opened) < 4:
            opened.append(made.open(draw(st.sampled_from(["text", "thinking", "tool_use"]))))
        elif kind == 5:
            made.event("ping")
        elif kind == 6:
            made.delta(draw(st.sampled_from(opened)), type="future_delta", future=text)
        elif kind == 7:
            citation = {"type": "char_location", "cited_text": text, "document_index": 0}
            made.delta(0, type="citations_delta", citation=citation)
        else:
            made.event("surprise", note=text)
    for index in opened:
        if draw(st.integers(0, 5)):
            made.close(index)
    if draw(st.integers(0, 5)):
        made.end()
    end = draw(st.sampled_from([b"", b"\n", DONE]))
    return (b"".join(made.events) + end).replace(b"\n", draw(newlines))


def messages_contents(stream: bytes) -> dict[str, str]:
    """Every text in a stream by place: deltas joined, and what is stated whole as it stands."""
    read: dict[str, str] = {}
    lines = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for number, piece in enumerate(lines.split(b"\n\n")):
        data = b"".join(x[6:] for x in piece.split(b"\n") if x.startswith(b"data: "))
        if not data or data == b"[DONE]":
            continue
        event = json.loads(data)
        if event["type"] == "content_block_delta" and "citation" not in event["delta"]:
            for key, text in event["delta"].items():
                if key not in ("type", "signature"):
                    at = f"{event['index']}/{key}"
                    read[at] = read.get(at, "") + text
        else:
            read |= {f"{number}{at}": text for at, text in strings(event) if at != "/type"}
    return {at: text for at, text in read.items() if text}


CHAT_WIRE = Wire(
    name="openai.chat",
    target=playbook.CHAT,
    request=lambda stream: playbook.chat(stream=stream),
    streams=chat_streams,
    stream_of=playbook.stream_of,
    answer=playbook.completion,
    contents=playbook.contents,
    text_of=lambda body: str(json.loads(body)["choices"][0]["message"]["content"]),
    text_at="0/content",
)
RESPONSES_WIRE = Wire(
    name="openai.responses",
    target=b"/v1/responses",
    request=lambda stream: json.dumps(
        {"model": "sim-echo", "input": "hello", **({"stream": True} if stream else {})}
    ).encode(),
    streams=responses_streams,
    stream_of=responses_stream_of,
    answer=responses_answer,
    contents=responses_contents,
    text_of=lambda body: str(json.loads(body)["output"][0]["content"][0]["text"]),
    text_at="response.output_text.delta/0/0",
)
MESSAGES_WIRE = Wire(
    name="anthropic.messages",
    target=b"/v1/messages",
    request=lambda stream: playbook.chat(stream=stream, max_tokens=64),
    streams=messages_streams,
    stream_of=messages_stream_of,
    answer=lambda text: json.dumps(message([{"type": "text", "text": text}])).encode(),
    contents=messages_contents,
    text_of=lambda body: str(json.loads(body)["content"][0]["text"]),
    text_at="0/text",
)
WIRES = (CHAT_WIRE, RESPONSES_WIRE, MESSAGES_WIRE)
