"""What an exchange asks the shell to do, in the order given.

The shell adds what belongs to the connection: ``content-length`` or ``transfer-encoding``,
``connection``, ``date`` and, towards upstream, ``host``.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from kintsugi.gateway.events import Event, Headers
from kintsugi.model.event import Admission, DecisionEvent, Quarantine
from kintsugi.model.facts import CounterNeed
from kintsugi.model.oversight import HeldEscalation

# Status, headers and body of a whole answer.
Reply = tuple[int, Headers, bytes]


class Admit(msgspec.Struct, frozen=True, gc=False):
    """Append to the journal; report AdmissionDurable or AdmissionFailed."""

    admission: Admission


class CallUpstream(msgspec.Struct, frozen=True, gc=False):
    """Send a request to a configured upstream; report what comes back.

    Attributes:
        origin: scheme, host and port: ``https://api.openai.com``. Redirects are not followed.
        path: the whole request target, built from configuration and never from the client.
        headers: include the upstream's credential, so never log them.
        first_byte_timeout_seconds, idle_timeout_seconds, total_timeout_seconds: in place of the
            gateway's; 0 keeps those.
        listens: the answer is a stream that ends when its time is over and has no other limit.
    """

    target_id: str
    origin: str
    path: bytes
    headers: Headers
    body: bytes
    allow_private_network: bool = False
    first_byte_timeout_seconds: float = 0.0
    total_timeout_seconds: float = 0.0
    method: bytes = b"POST"
    idle_timeout_seconds: float = 0.0
    listens: bool = False

    def __repr__(self) -> str:
        """Without headers and body: both hold what a log must not."""
        return f"CallUpstream({self.target_id!r}, {self.origin!r}, {self.path!r})"


class RemoteCall(msgspec.Struct, frozen=True, gc=False):
    """One question to a configured target; see ``CallUpstream`` for the fields they share.

    Attributes:
        key: names the answer among the facts.
    """

    key: str
    origin: str
    path: bytes
    headers: Headers
    body: bytes
    timeout_seconds: float
    allow_private_network: bool = False

    def __repr__(self) -> str:
        """Without headers and body: both hold what a log must not."""
        return f"RemoteCall({self.key!r}, {self.origin!r}, {self.path!r})"


class Gather(msgspec.Struct, frozen=True, gc=False):
    """Reserve on the gateway's counters and ask other machines, all at once; report Gathered.

    What was reserved is given back when the exchange ends before that.
    """

    counters: tuple[CounterNeed, ...] = ()
    remote: tuple[RemoteCall, ...] = ()


class Settle(msgspec.Struct, frozen=True, gc=False):
    """End a reservation.

    Attributes:
        used: what was really used, by key; a key left out keeps what was reserved. None gives all
            of it back.
    """

    reservation: int
    used: dict[str, float] | None = None


class Redeem(msgspec.Struct, frozen=True, gc=False):
    """Use an approval up for this exchange, wherever else it may be tried; report Redeemed."""

    escalation_id: str
    action_digest: str
    revision: str
    event_id: str


class Hold(msgspec.Struct, frozen=True, gc=False):
    """Tell reviewers, and report HoldOver when one has decided or the time is over."""

    report: HeldEscalation
    seconds: float


class Freeze(msgspec.Struct, frozen=True, gc=False):
    """Stop whatever comes from the same place from now on, on every worker."""

    quarantine: Quarantine
    policy_name: str
    reason_code: str
    config_version: str


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
    | Gather
    | Settle
    | Redeem
    | Hold
    | Freeze
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


class AnyExchange(Protocol):
    """An exchange as whoever carries its commands out sees it."""

    def step(self, event: Event) -> list[Command]:
        """Decide what follows from an event; perform nothing."""
