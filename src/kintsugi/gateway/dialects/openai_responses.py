"""OpenAI responses: requests, whole answers and errors. Streams: openai_responses_stream.py.

An answer repeats much of its request: instructions, tools, metadata. Those texts have the role and
kind that they have in a request, so that rules can tell them from what the model says.

Source: the OpenAPI description of ``POST /v1/responses``.
"""

from __future__ import annotations

from collections.abc import Sequence

from kintsugi.gateway.dialects.dialect import AnswerView, Problem, RequestView
from kintsugi.gateway.dialects.json_text import MalformedDocument, read_json
from kintsugi.gateway.dialects.openai_error import error_body
from kintsugi.gateway.dialects.openai_responses_document import (
    read_request_document,
    read_response_document,
    read_usage,
)
from kintsugi.gateway.dialects.openai_responses_stream import ResponseStream, logprobs_beside
from kintsugi.gateway.dialects.request_head import bound_in, read_head
from kintsugi.gateway.dialects.text_tree import path_rank
from kintsugi.model.content import Edit, Part


class OpenAIResponses:
    """The dialect of ``/v1/responses``."""

    name = "openai.responses"
    path = b"/v1/responses"
    upstream_path = b"/responses"

    def read_request(self, body: bytes) -> RequestView:
        """See ``Dialect``.

        The model must be named, though a stored prompt could name it: it decides the target.
        """
        document, model, streamed = read_head(body)
        parts: list[Part] = []
        read_request_document(document, parts)
        bound = bound_in(document, "max_output_tokens")
        return RequestView(model, streamed, tuple(parts), bound)

    def read_answer(self, body: bytes) -> AnswerView:
        """See ``Dialect``."""
        document = read_json(body)
        if type(document) is not dict or type(document.get("output")) is not list:
            raise MalformedDocument('the answer has no "output"')
        parts: list[Part] = []
        read_response_document(document, parts)
        parts.sort(key=lambda part: path_rank(part.path))
        model = document.get("model")
        sent, received = read_usage(document)
        return AnswerView(tuple(parts), model if type(model) is str else "", sent, received)

    def clears(self, edits: Sequence[Edit]) -> Sequence[str]:
        """See ``Dialect``. Log probabilities spell a text out token by token."""
        return sorted({logprobs_beside(edit.path) for edit in edits})

    def open_stream(self) -> ResponseStream:
        """See ``Dialect``."""
        return ResponseStream()

    def problem_body(self, problem: Problem) -> bytes:
        """See ``Dialect``."""
        return error_body(problem)
