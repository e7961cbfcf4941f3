"""What a rule may use besides the exchange and its options, and what it may ask for beforehand.

Deciding is pure: whatever comes from a clock, a counter or another machine is gathered first,
passed in as facts, and recorded on the event, so that replay needs neither the counter nor the
network.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

import msgspec

from kintsugi.model.content import Identity

_NONE: Mapping[str, Any] = MappingProxyType({})


class CounterNeed(msgspec.Struct, frozen=True, kw_only=True):
    """Reserve an amount on a counter before the decision.

    The reservation is taken if it fits under the limit, and settled or released when the exchange
    ends, so that exchanges that run at once cannot overshoot together.

    Attributes:
        key: names the counter: kind, scope and period, such as ``rate-limit/user/ada/60``.
        amount: what to reserve; 0 only reads.
        limit: what the counter may not exceed; the fact tells whether the amount fitted.
        window_seconds: the counter forgets what is older; 0 keeps it until the session ends.
        keeps: it counts however the exchange ends. Who may ask for nothing that is let through
            could otherwise try the policies out without a limit.
    """

    key: str
    amount: float
    limit: float
    window_seconds: int = 0
    keeps: bool = False


class Counter(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a counter said.

    Attributes:
        used: the total before this exchange, what others have reserved included.
        granted: whether this exchange's amount fitted and was reserved.
        retry_after_seconds: when enough may be free again; 0 when granted or not known.
    """

    used: float
    granted: bool = True
    retry_after_seconds: float = 0.0


class RemoteNeed(msgspec.Struct, frozen=True, kw_only=True):
    """Ask another machine before the decision, within a time.

    Attributes:
        key: names the answer among the facts.
        target_id: a target of the configuration; nothing else can be asked.
        path: what follows the base path of the target, such as ``/moderations``.
        body: JSON to post.
    """

    key: str
    target_id: str
    path: str
    body: bytes
    timeout_seconds: float


class RemoteAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What another machine said, or why it did not.

    Attributes:
        body: of a 2xx answer, at most 64 KiB.
        error: ``timeout``, ``connect_failed``, ``status`` and so on; empty when it answered.
    """

    status: int = 0
    body: str = ""
    error: str = ""


Need = CounterNeed | RemoteNeed


class Facts(msgspec.Struct, frozen=True):
    """Everything a rule may use that is not the exchange or the plan; recorded for replay.

    Attributes:
        now: time of the decision, aware UTC.
        fingerprint_key: secret under which spans are fingerprinted. Without the key a short
            secret such as a social security number could be found by trying them all.
        claims: request headers that the plan names (``Plan.claim_names``), by lower-case name:
            what the application vouches for about its session.
        counters: by ``CounterNeed.key``.
        remote: by ``RemoteNeed.key``.
        found: reason codes and entities that earlier phases of this exchange found.
    """

    now: datetime
    identity: Identity = Identity()
    fingerprint_key: bytes = b""
    claims: Mapping[str, str] = _NONE
    counters: Mapping[str, Counter] = _NONE
    remote: Mapping[str, RemoteAnswer] = _NONE
    found: tuple[str, ...] = ()
