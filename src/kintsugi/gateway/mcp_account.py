"""What is known about one MCP exchange, besides what is known about any."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from kintsugi.gateway.account import Account, masked
from kintsugi.gateway.dialects.dialect import RequestView
from kintsugi.gateway.dialects.splice import apply_edits
from kintsugi.gateway.mcp_messages import Body, Message
from kintsugi.model.content import Edit
from kintsugi.model.decision import Decision, Phase
from kintsugi.model.event import Chunking, DecisionEvent, ExchangeStatus, ToolFailure
from kintsugi.model.verdict import Verdict
from kintsugi.policy.tool_failures import failure_of

if TYPE_CHECKING:
    from _hashlib import HASH

# Decisions kept of one exchange: a stream of notifications may run for an hour.
_DECISIONS_MAX = 64
_FAILURES_MAX = 64


#: Of a stream, what ``Chunking.texts`` numbers: events that clients read, and others.
EVENT_KINDS = ("message", "other")


class _Kept(NamedTuple):
    """A message of the answer: as evidence shows it, what is masked there, and as it came; of what
    is no message, the text that was judged."""

    data: bytes
    masks: Sequence[Edit]
    heard: bytes
    text: str | None
    named: bool

    def shown(self) -> bytes:
        """Without what is masked."""
        if self.text is not None and self.masks:
            return apply_edits(self.text, self.masks).encode()
        return masked(self.data, self.masks)


class McpAccount(Account, kw_only=True, eq=False):
    """The account of one HTTP exchange with an MCP server.

    Attributes:
        asked: what the client sent; None where it sent no body or none that could be read.
        streamed: the answer came as server-sent events.
    """

    asked: Body | None = None
    streamed: bool = False
    _answer_bytes: int = 0
    _digest: HASH = msgspec.field(default_factory=hashlib.sha256)
    _evidence: list[_Kept] = msgspec.field(default_factory=list)
    _evidence_bytes: int = 0
    _tools: dict[object, str] = msgspec.field(default_factory=dict)

    def ask(self, asked: Body) -> None:
        """Take in what the client sent."""
        self.asked = asked
        parts = tuple(part for message in asked.messages for part in message.parts)
        self.request = RequestView("", False, parts)
        self._tools = {message.id: message.tool for message in asked.messages if message.tool}

    def heard(self, data: bytes) -> None:
        """Count and digest bytes of the answer as they came."""
        self._answer_bytes += len(data)
        self._digest.update(data)

    def keep(
        self,
        data: bytes,
        masks: Sequence[Edit],
        *,
        heard: bytes | None = None,
        text: str | None = None,
        named: bool = True,
    ) -> None:
        """Keep a message of the answer as evidence, as far as there is room.

        Args:
            heard: as it came, where something was taken out of it since.
            text: what the masks are of, where it is no message.
            named: False for an event that clients of MCP pass over.
        """
        self.answer_masks = [*(self.answer_masks or ()), *masks]
        if self._evidence_bytes <= self.in_force.gateway.payload_bytes_max:
            self._evidence_bytes += len(data)
            came = data if heard is None else heard
            self._evidence.append(_Kept(data, masks, came, text, named))

    def take_back(self) -> None:
        """Forget the message that was kept last: it is kept again, with more taken out of it."""
        if self._evidence:
            self._evidence_bytes -= len(self._evidence.pop().data)

    def note(self, decision: Decision, phase: Phase) -> None:
        """Take in a decision. Of many that found nothing, the first of a phase stands for all."""
        clear = decision.verdict is Verdict.ALLOW
        known = any(
            evaluation.phase is phase
            for earlier in self.decisions
            for evaluation in earlier.evaluations
        )
        strictest = max((one.verdict.strictness for one in self.decisions), default=-1)
        if (clear and known) or (
            len(self.decisions) >= _DECISIONS_MAX and decision.verdict.strictness <= strictest
        ):
            return
        self.decisions.append(decision)

    def note_failure(self, message: Message) -> None:
        """Take in a tool that failed, if this message is its answer and says so."""
        tool = self._tools.get(message.id, "")
        document = message.document
        if not tool or len(self.tool_failures) >= _FAILURES_MAX:
            return
        path = f"{message.at}/error" if "error" in document else f"{message.at}/result"
        said = document.get("error") or document.get("result")
        failure = failure_of(tool, _result_text(said))
        if failure is None and message.is_error:
            failure = ToolFailure(tool, "error")
        if failure is not None:
            placed = msgspec.structs.replace(failure, path=path)
            self.tool_failures = (*self.tool_failures, placed)

    @property
    def method(self) -> str:
        """What was asked: ``tools/call``; empty for a stream, and for answers of the client."""
        return _joined(message.method for message in self.asked.messages) if self.asked else ""

    @property
    def tool(self) -> str:
        """The tool that was called; empty where none was."""
        return _joined(message.tool for message in self.asked.messages) if self.asked else ""

    def event(
        self, status: ExchangeStatus, *, at_ns: int, http_status: int, error: str = ""
    ) -> DecisionEvent:
        """See ``Account``."""
        event = super().event(status, at_ns=at_ns, http_status=http_status, error=error)
        digest = "sha256:" + self._digest.hexdigest() if self.upstream_status else ""
        return msgspec.structs.replace(
            event,
            streamed=self.streamed,
            response_bytes=self._answer_bytes,
            response_digest=digest,
            mcp_method=self.method,
            tool_name=self.tool,
        )

    def _masked_answer(self, masks: Sequence[Edit] | None) -> bytes:
        return b"\n".join(one.heard if masks is None else one.shown() for one in self._evidence)

    def _answer_is_shown(self) -> bool:
        return not self.answer_masks and all(one.data is one.heard for one in self._evidence)

    def _chunking(self) -> Chunking | None:
        if not self.streamed:
            return None
        sizes = (f"{1 - one.named}:{len(one.heard)}" for one in self._evidence)
        return Chunking(EVENT_KINDS, " ".join(sizes), self.answer_whole)


def _joined(words: Iterable[str]) -> str:
    """The distinct words of a batch; nearly always there is one."""
    return " ".join(dict.fromkeys(word for word in words if word))


def _result_text(said: object) -> str:
    """What the words of a result say, for those who look for failures in words."""
    if isinstance(said, dict):
        if isinstance(said.get("message"), str):
            return str(said["message"])
        if isinstance(said.get("structuredContent"), dict):
            return msgspec.json.encode(said["structuredContent"]).decode()
        blocks = said.get("content")
        if isinstance(blocks, list):
            texts = (one.get("text") for one in blocks if isinstance(one, dict))
            return "\n".join(text for text in texts if isinstance(text, str))
    return ""
