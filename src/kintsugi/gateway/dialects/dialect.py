"""What the gateway needs to know of a wire format. Each format is one file beside this one."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Protocol

import msgspec

from kintsugi.model.content import Edit, Part, PartKind


class RequestView(msgspec.Struct, frozen=True):
    """What a request says.

    Attributes:
        parts: every text that the model, or anybody behind it, would read.
        unread: why some of what it says is closed to every rule; empty where all can be read.
        output_tokens_max: the bound that it sets on the answer; 0 where it sets none.
    """

    model: str
    stream: bool
    parts: tuple[Part, ...]
    output_tokens_max: int = 0
    unread: str = ""


class AnswerView(msgspec.Struct, frozen=True):
    """What a whole answer says."""

    parts: tuple[Part, ...]
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why the gateway itself answers, in words that every dialect can carry.

    Attributes:
        type: ``policy_violation``, ``rate_limit``, ``invalid_request_error``,
            ``authentication_error``, ``upstream_error`` or ``server_error``.
        param: the field of the request that was wrong, if it was one field.
    """

    type: str
    code: str
    message: str
    param: str = ""
    policy: str = ""
    reason_code: str = ""
    event_id: str = ""
    escalation_id: str = ""


class Channel:
    """One text of a streamed answer, put together from the pieces that its frames carry.

    Attributes:
        path: JSON pointer of the text in the whole answer that the frames add up to.
        rank: where the text stands in the order of a whole answer.
        closed: the text cannot grow any more.
        pieces: in the order of arrival.
        length: characters so far.
    """

    __slots__ = ("closed", "kind", "length", "name", "path", "pieces", "rank", "role")

    def __init__(
        self,
        path: str,
        kind: PartKind,
        *,
        rank: tuple[int | str, ...],
        role: str = "assistant",
        closed: bool = False,
    ) -> None:
        self.path = path
        self.kind = kind
        self.rank = rank
        self.role = role
        self.closed = closed
        self.name = ""
        self.pieces: list[str] = []
        self.length = 0

    def text(self) -> str:
        """All of it so far."""
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""

    def part(self) -> Part:
        """All of it so far, for rules to look at."""
        return Part(self.role, self.kind, self.text(), self.path, 0, self.name)


class Piece(msgspec.Struct, frozen=True, gc=False):
    """Characters ``start`` to ``end`` of a channel, which one frame carries at ``pointer``."""

    channel: Channel
    start: int
    end: int
    pointer: str


class FrameView(msgspec.Struct, frozen=True, gc=False):
    """What one frame of a stream says.

    Attributes:
        finishes: the choices that end with this frame.
        closing: after this frame nothing is said any more.
        seals: pointers in the frame that hold only for a channel as it was written, such as a
            signature over it; they become null where the channel is edited.
    """

    pieces: Sequence[Piece] = ()
    finishes: Sequence[int] = ()
    closing: bool = False
    seals: Sequence[tuple[Channel, str]] = ()


class StreamReader(Protocol):
    """Reads the frames of one answer, in order. Holds the state of one stream only."""

    channels: list[Channel]
    model: str
    input_tokens: int
    output_tokens: int

    @property
    def all_finished(self) -> bool:
        """Whether every choice that began has ended."""

    def read(self, data: bytes) -> FrameView:
        """Read the data of one frame.

        Raises:
            MalformedDocument: it cannot be read, or not in one way only.
        """

    def read_opaque(self, text: str) -> FrameView:
        """Take data in as plain text that this dialect has no reading for."""

    def clears(self, piece: Piece) -> Sequence[str]:
        """Pointers in the frame that would give away what an edit of this piece took out."""

    def stop_frames(self, problem: Problem, released: Set[int]) -> bytes:
        """Frames that end the stream early in a way that the official clients accept.

        Args:
            released: the choices whose own end went out already.
        """

    def whole(self, edits: Sequence[Edit]) -> bytes:
        """The whole answer that the frames add up to, as the dialect writes one, edited."""


class Dialect(Protocol):
    """One wire format: how to read it, edit it and answer in it."""

    @property
    def name(self) -> str:
        """As events carry it: ``openai.chat``."""

    @property
    def path(self) -> bytes:
        """The path it is served at."""

    @property
    def upstream_path(self) -> bytes:
        """What follows the base path of a target."""

    def read_request(self, body: bytes) -> RequestView:
        """Read a request.

        Raises:
            MalformedDocument: it cannot be read, or not in one way only.
        """

    def read_answer(self, body: bytes) -> AnswerView:
        """Read a whole answer.

        Raises:
            MalformedDocument: it cannot be read, or not in one way only.
        """

    def clears(self, edits: Sequence[Edit]) -> Sequence[str]:
        """Pointers in a whole answer that would give away what these edits take out."""

    def open_stream(self) -> StreamReader:
        """Start to read a streamed answer."""

    def problem_body(self, problem: Problem) -> bytes:
        """An error in the shape that the official clients raise as a typed exception."""
