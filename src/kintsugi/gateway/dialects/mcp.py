"""MCP as a dialect: what the account and the records of an exchange need of it.

Messages are read by ``mcp_messages``, streams by ``mcp_stream``: an MCP exchange may carry many
messages in both directions, and each event of a stream is whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import msgspec

from kintsugi.gateway.dialects.dialect import AnswerView, Problem, RequestView
from kintsugi.gateway.mcp_answers import error_document
from kintsugi.gateway.mcp_messages import read_body
from kintsugi.model.content import Edit


class Mcp:
    """The dialect of ``/mcp/{server}``."""

    name = "mcp"
    path = b"/mcp/"
    upstream_path = b""

    def read_request(self, body: bytes) -> RequestView:
        """See ``Dialect``."""
        parts = [part for message in read_body(body, "client").messages for part in message.parts]
        return RequestView("", False, tuple(parts))

    def read_answer(self, body: bytes) -> AnswerView:
        """See ``Dialect``."""
        parts = [part for message in read_body(body, "server").messages for part in message.parts]
        return AnswerView(tuple(parts))

    def clears(self, edits: Sequence[Edit]) -> Sequence[str]:  # noqa: ARG002
        """See ``Dialect``."""
        return ()

    def open_stream(self) -> NoReturn:
        """A stream needs more than its bytes; see ``mcp_stream.McpStream``."""
        raise TypeError("events of MCP are read by McpStream")

    def problem_body(self, problem: Problem) -> bytes:
        """See ``Dialect``."""
        return msgspec.json.encode(error_document(problem, None))


MCP = Mcp()
