"""What supervisor and worker say to each other: JSON lines over a socket pair.

The end of the channel is a message too: a worker whose supervisor is gone drains and exits.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from kintsugi.model.containment import Containment
from kintsugi.model.event import Quarantine, UsedApproval
from kintsugi.model.facts import Counter, CounterNeed
from kintsugi.model.oversight import HeldEscalation, Resolution

# What a list of quarantines or approvals may come to.
LINE_BYTES_MAX = 64 * 1024 * 1024


class Load(msgspec.Struct, frozen=True):
    """Put the configuration in a file in force.

    Attributes:
        path: its text. The file is never changed after this was sent.
        config_version: ``ID@V``, as events will carry it.
    """

    path: str
    config_version: str
    config_id: str = ""


class Reserve(msgspec.Struct, frozen=True):
    """Reserve on the gateway's counters; ``number`` names the reservation from now on."""

    number: int
    needs: tuple[CounterNeed, ...]


class Reserved(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the counters said; nothing where ``error`` says why they could not."""

    number: int
    counters: dict[str, Counter] = {}
    error: str = ""


class Settle(msgspec.Struct, frozen=True, omit_defaults=True):
    """End a reservation with what was really used; see ``CounterBook.settle``."""

    number: int
    used: dict[str, float] | None = None


class Redeem(msgspec.Struct, frozen=True):
    """Use an approval up, for the exchange ``event_id``. Answered by ``Redeemed``."""

    number: int
    escalation_id: str
    action_digest: str
    revision: str
    event_id: str


class Redeemed(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether the approval was still good; it is used up now."""

    number: int
    approval: UsedApproval | None = None


class Quarantined(msgspec.Struct, frozen=True):
    """A decision froze something: at once on every worker, and for good until it is released."""

    quarantine: Quarantine
    policy_name: str
    reason_code: str
    config_version: str


class ToWorker(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line from the supervisor; exactly one field is set.

    Attributes:
        load_error: why the newest configuration was not even sent out, for /health and the
            metrics; an empty string takes an earlier one back.
        quarantines: everything that is frozen now.
        resolutions: escalations that reviewers have resolved and nobody has used.
        containments: everything that is contained now.
    """

    load: Load | None = None
    load_error: str | None = None
    drain: bool = False
    reserved: Reserved | None = None
    redeemed: Redeemed | None = None
    quarantines: tuple[Quarantine, ...] | None = None
    resolutions: tuple[Resolution, ...] | None = None
    containments: tuple[Containment, ...] | None = None


class InForceReport(msgspec.Struct, frozen=True):
    """A configuration is in force from now on."""

    config_version: str
    revision: str
    since: datetime


class LoadFailed(msgspec.Struct, frozen=True):
    """A configuration was refused; the one before stays in force."""

    config_version: str
    error: str


class WorkerTally(msgspec.Struct, frozen=True):
    """A worker's numbers since its gateway started, over restarts of the worker."""

    admitted: int
    decided: int
    in_flight: int


class FromWorker(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line from a worker; exactly one field is set.

    Attributes:
        held: an escalation whose answer waits for a reviewer.
        contained: ids of the containments that every exchange from now on is judged by.
    """

    in_force: InForceReport | None = None
    load_failed: LoadFailed | None = None
    tally: WorkerTally | None = None
    reserve: Reserve | None = None
    settle: Settle | None = None
    redeem: Redeem | None = None
    quarantined: Quarantined | None = None
    held: HeldEscalation | None = None
    contained: tuple[str, ...] | None = None


_encode = msgspec.json.Encoder().encode
_to_worker = msgspec.json.Decoder(ToWorker).decode
_from_worker = msgspec.json.Decoder(FromWorker).decode


def encode(message: ToWorker | FromWorker) -> bytes:
    """One message as a line."""
    return _encode(message) + b"\n"


def decode_to_worker(line: bytes) -> ToWorker:
    """Read a line of the supervisor's.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return _to_worker(line)


def decode_from_worker(line: bytes) -> FromWorker:
    """Read a line of a worker's.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return _from_worker(line)
