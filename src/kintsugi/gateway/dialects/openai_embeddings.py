"""OpenAI embeddings: texts in, vectors out.

Vectors are no text and pass as they are, whatever their encoding. They are not even decoded: of an
answer only its model and usage are read. There are no streams.

Source: the OpenAPI description of ``POST /v1/embeddings``.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

import msgspec

from kintsugi.gateway.dialects.dialect import (
    AnswerView,
    Channel,
    FrameView,
    Piece,
    Problem,
    RequestView,
)
from kintsugi.gateway.dialects.json_text import (
    MalformedDocument,
    json_text,
    refuse_look_alikes,
)
from kintsugi.gateway.dialects.openai_chat_message import words
from kintsugi.gateway.dialects.openai_error import error_body
from kintsugi.gateway.dialects.request_head import read_head
from kintsugi.gateway.dialects.splice import apply_edits, pointer_token
from kintsugi.model.content import Edit, Part

_encode = msgspec.json.Encoder().encode
_SETTINGS = words("model dimensions encoding_format")
_KNOWN = _SETTINGS | {"input"}
_TOKENS = (
    '"input" holds token numbers, which no policy can read; send texts '
    "(LangChain: check_embedding_ctx_length=False)"
)


class _Answer(msgspec.Struct):
    """Of an answer, what is not its vectors; those are found and skipped."""

    data: msgspec.Raw
    model: Any = ""
    usage: Any = None


_decode_answer = msgspec.json.Decoder(_Answer).decode


class OpenAIEmbeddings:
    """The dialect of ``/v1/embeddings``."""

    name = "openai.embeddings"
    path = b"/v1/embeddings"
    upstream_path = b"/embeddings"

    def read_request(self, body: bytes) -> RequestView:
        """See ``Dialect``."""
        document, model, _ = read_head(body)
        parts: list[Part] = []
        unread = _read_input(document.get("input"), parts)
        if not document.keys() <= _KNOWN:
            refuse_look_alikes(document, _KNOWN, "")
        for key, value in document.items():
            if key not in _KNOWN and isinstance(value, str | list | dict):
                text = value if isinstance(value, str) else json_text(value)
                parts.append(Part("user", "text", text, "/" + pointer_token(key)))
        return RequestView(model, False, tuple(parts), unread=unread)

    def read_answer(self, body: bytes) -> AnswerView:
        """See ``Dialect``."""
        try:
            answer = _decode_answer(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise MalformedDocument('the answer is no JSON object with "data"') from None
        sent = answer.usage.get("prompt_tokens") if type(answer.usage) is dict else 0
        return AnswerView(
            (),
            answer.model if type(answer.model) is str else "",
            sent if type(sent) is int else 0,
        )

    def clears(self, edits: Sequence[Edit]) -> Sequence[str]:  # noqa: ARG002
        """See ``Dialect``. Nothing repeats a text."""
        return ()

    def open_stream(self) -> NoStream:
        """See ``Dialect``."""
        return NoStream()

    def problem_body(self, problem: Problem) -> bytes:
        """See ``Dialect``."""
        return error_body(problem)


class NoStream:
    """Takes in a stream where there should be none: it cannot be read, so it takes the route's
    failure mode, and is plain text where that lets it pass."""

    model = ""
    input_tokens = 0
    output_tokens = 0
    all_finished = False

    def __init__(self) -> None:
        self.channels: list[Channel] = []

    def read(self, data: bytes) -> FrameView:  # noqa: ARG002
        """See ``StreamReader``."""
        raise MalformedDocument("embeddings are not streamed")

    def read_opaque(self, text: str) -> FrameView:
        """See ``StreamReader``."""
        number = len(self.channels)
        channel = Channel(f"/frames/{number}", "text", rank=(number,), closed=True)
        channel.pieces.append(text)
        channel.length = len(text)
        self.channels.append(channel)
        return FrameView((Piece(channel, 0, len(text), ""),))

    def clears(self, piece: Piece) -> Sequence[str]:  # noqa: ARG002
        """See ``StreamReader``."""
        return ()

    def stop_frames(self, problem: Problem, released: Set[int]) -> bytes:  # noqa: ARG002
        """See ``StreamReader``."""
        return b"event: error\ndata: " + error_body(problem) + b"\n\n"

    def whole(self, edits: Sequence[Edit]) -> bytes:
        """See ``StreamReader``."""
        frames = []
        for channel in self.channels:
            own = [edit for edit in edits if edit.path == channel.path]
            frames.append(apply_edits(channel.text(), own))
        return _encode({"frames": frames})


def _read_input(value: object, parts: list[Part]) -> str:
    """Add one text, or several; return why some of it is no text."""
    unread = ""
    if type(value) is str:
        parts.append(Part("user", "text", value, "/input"))
        return unread
    if type(value) is not list or not value:
        raise MalformedDocument('"input" must be a text or a list of texts')
    for index, text in enumerate(value):
        if type(text) is str:
            parts.append(Part("user", "text", text, f"/input/{index}"))
        elif type(text) is dict:
            parts.append(Part("user", "text", json_text(text), f"/input/{index}"))
        else:
            unread = _TOKENS
    return unread
