"""What an exchange asks the shell to do, in the order given.

The shell adds what belongs to the connection: ``content-length`` or ``transfer-encoding``,
``connection``, ``date`` and, towards upstream, ``host``.
"""

from __future__ import annotations

import msgspec

from kintsugi.gateway.events import Headers
from kintsugi.model.event import Admission, DecisionEvent

# Status, headers and body of a whole answer.
Reply = tuple[int, Headers, bytes]


class Admit(msgspec.Struct, frozen=True, gc=False):
    """Append to the journal; report AdmissionDurable or AdmissionFailed."""

    admission: Admission


class CallUpstream(msgspec.Struct, frozen=True, gc=False):
    """POST to a configured upstream; report what comes back.

    Attributes:
        origin: scheme, host and port: ``https://api.openai.com``. Redirects are not followed.
        path: the whole request target, built from configuration and never from the client.
        headers: include the upstream's credential, so never log them.
        first_byte_timeout_seconds, total_timeout_seconds: in place of the gateway's; 0 keeps
            those.
    """

    target_id: str
    origin: str
    path: bytes
    headers: Headers
    body: bytes
    allow_private_network: bool = False
    first_byte_timeout_seconds: float = 0.0
    total_timeout_seconds: float = 0.0

    def __repr__(self) -> str:
        """Without headers and body: both hold what a log must not."""
        return f"CallUpstream({self.target_id!r}, {self.origin!r}, {self.path!r})"


class Pause(msgspec.Struct, frozen=True, gc=False):
    """Report PauseOver after this time."""

    seconds: float


class AbortUpstream(msgspec.Struct, frozen=True, gc=False):
    """Close the upstream connection; nothing more is wanted from it."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """Append to the journal; report RecordDurable or RecordFailed.

    Attributes:
        at_ns: the moment up to which ``latency_ms`` and ``overhead_ms`` count. What ``step`` itself
            took since then, judging above all, only the shell can add.
    """

    event: DecisionEvent
    at_ns: int


class Correct(msgspec.Struct, frozen=True, gc=False):
    """The answer was taken back because its record could not be made durable: write this in the
    record's place, unless that is written already."""

    event: DecisionEvent


class Answer(msgspec.Struct, frozen=True, gc=False):
    """Send a whole answer to the client."""

    status: int
    headers: Headers
    body: bytes


class StartStream(msgspec.Struct, frozen=True, gc=False):
    """Send the head of an answer whose length is not known; its body is chunked."""

    status: int
    headers: Headers


class SendData(msgspec.Struct, frozen=True, gc=False):
    """Send bytes of a started stream."""

    data: bytes


class EndStream(msgspec.Struct, frozen=True, gc=False):
    """End a started stream properly."""


class DropClient(msgspec.Struct, frozen=True, gc=False):
    """Cut the client's connection: the stream broke, and a proper end would be a lie."""


Command = (
    Admit
    | CallUpstream
    | Pause
    | AbortUpstream
    | Record
    | Correct
    | Answer
    | StartStream
    | SendData
    | EndStream
    | DropClient
)
