"""Server-sent events of an MCP server, one message at a time.

Every event carries whole messages, so each is judged whole, whatever reads it came in. What is
stopped is replaced or left out; everything else leaves byte for byte. The event that answers the
last open request is held until the exchange has its record.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from kintsugi.gateway.answers import stopped
from kintsugi.gateway.dialects.dialect import Problem
from kintsugi.gateway.dialects.json_text import MalformedDocument
from kintsugi.gateway.mcp_account import McpAccount
from kintsugi.gateway.mcp_answers import stopped_document
from kintsugi.gateway.mcp_judgement import Judged, ToolGate, judge_heard, judge_opaque, looks
from kintsugi.gateway.mcp_messages import Message, MessageId
from kintsugi.gateway.sse import FrameSplitter, frame_data, frame_field, with_data
from kintsugi.model.decision import Phase

_encode = msgspec.json.Encoder().encode


class McpStream:
    """One stream of events, from its first byte to its last.

    Args:
        asked: the requests that it is to answer; empty for a stream that listens.
        listens: a stream for whatever the server has to say, which answers nothing in particular.
        frame_bytes_max: longer events end it.

    Attributes:
        final: the event that ends it, held for the record; empty while there is none.
        unreadable: why it cannot be judged any further; empty while it can.
        ended_by_policy: a question of the server's was stopped, so the rest is not waited for.
    """

    def __init__(
        self,
        account: McpAccount,
        gate: ToolGate | None,
        asked: Iterable[Message],
        *,
        listens: bool,
        frame_bytes_max: int,
    ) -> None:
        self.final = b""
        self.unreadable = ""
        self.ended_by_policy = False
        self._account = account
        self._gate = gate
        self._open: dict[MessageId, Message] = {message.id: message for message in asked}
        self._listens = listens
        self._frame_bytes_max = frame_bytes_max
        self._splitter = FrameSplitter()
        self._looks = looks(account, gate)
        self._fails_open = account.in_force.gateway.fail_mode == "allow" or not self._looks

    @property
    def concluded(self) -> bool:
        """Whether nothing more is to be read of it."""
        return bool(self.final or self.unreadable or self.ended_by_policy)

    def feed(self, data: bytes) -> bytes:
        """Take in what one read delivered; return what may leave now."""
        self._account.heard(data)
        out = b"".join(self._taken(self._splitter.feed(data)))
        if self._splitter.rest_bytes > self._frame_bytes_max and not self.concluded:
            self.unreadable = "upstream.too_large"
        return out

    def finish(self) -> bytes:
        """The server has ended it; an event without its empty line counts all the same, since
        some clients read it."""
        rest = self._splitter.take_rest()
        if self.concluded or not rest.strip(b"\r\n"):
            return b""
        return b"".join(self._taken([rest.rstrip(b"\r\n") + b"\n\n"]))

    def failed(self, problem: Problem) -> bytes:
        """Events that answer every open request with a problem."""
        return b"".join(
            _event(stopped_document(problem, message.id, is_tool=False))
            for message in self._open.values()
        )

    def _taken(self, frames: Iterable[bytes]) -> Iterable[bytes]:
        for frame in frames:
            if self.concluded:
                return
            out = self._take(frame)
            if out:
                yield out

    def _take(self, frame: bytes) -> bytes:
        data = frame_data(frame)
        if data is None or not data.strip():
            return frame  # comments, and events that only carry an id to resume from
        named = frame_field(frame, b"event") in (b"", b"message")
        try:
            judged = judge_heard(self._account, data, self._gate)
        except MalformedDocument:
            if not named:
                return self._take_opaque(frame, data, named=False)
            if not self._fails_open:
                self.unreadable = "upstream.unreadable"
                return b""
            self._account.failed_open = self._looks
            return self._take_opaque(frame, data, named=True)
        if judged.stopped_in is not None:
            if not named:  # clients pass over it, so nobody waits for it
                return _without_data(frame)
            return self._take_stopped(frame, judged, judged.stopped_in)
        out = frame if judged.data is data else with_data(frame, judged.data)
        if named and self._answers_last(judged):
            self.final = out
            return b""
        return out

    def _answers_last(self, judged: Judged) -> bool:
        """Whether nothing is open any more; a stream that listens ends with any answer."""
        answers = [message for message in judged.body.messages if message.kind == "response"]
        for message in answers:
            self._open.pop(message.id, None)
        return bool(answers) and not self._open

    def _take_stopped(self, frame: bytes, judged: Judged, phase: Phase) -> bytes:
        """Put the policy's word in the place of a message, or nothing where nobody waits."""
        account = self._account
        problem = stopped(judged.decision, phase, event_id=account.event_id)
        asks = any(message.kind == "request" for message in judged.body.messages)
        answers = [message for message in judged.body.messages if message.kind == "response"]
        if asks and not answers:
            # The server would wait for an answer that never comes: what it works on ends here.
            self.ended_by_policy = True
            self.final = _without_data(frame) + b"".join(
                _event(stopped_document(problem, message.id, is_tool=bool(message.tool)))
                for message in self._open.values()
            )
            return b""
        if not answers:
            self.ended_by_policy = self._listens  # so that its record is made now
            return _without_data(frame)
        documents = []
        for message in answers:
            tool = self._open[message.id].tool if message.id in self._open else ""
            documents.append(stopped_document(problem, message.id, is_tool=bool(tool)))
        out = with_data(frame, _encode(documents if judged.body.is_batch else documents[0]))
        if self._answers_last(judged):
            self.final = out
            return b""
        return out

    def _take_opaque(self, frame: bytes, data: bytes, *, named: bool) -> bytes:
        """An event that is no message: clients pass over it, so it passes if its text may."""
        decision = judge_opaque(self._account, data, named=named)
        return b"" if decision.verdict.stops or decision.edits else frame


def _event(document: object) -> bytes:
    return b"event: message\ndata: " + _encode(document) + b"\n\n"


def _without_data(frame: bytes) -> bytes:
    """What is left of an event whose message was taken out: its id, so that a client that resumes
    does not ask for it again."""
    event_id = frame_field(frame, b"id")
    return b"id: " + event_id + b"\ndata: \n\n" if event_id else b""
