"""A finished conversation or agent run on one line: what was said, decided and called, and the end.

The outer shape is ShareGPT's as agent frameworks write it (``conversations``, ``timestamp``,
``model``, ``completed``); what we know beyond it stands beside.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

import msgspec

from kintsugi.model.content import PartKind
from kintsugi.model.event import ExchangeStatus, ToolFailure
from kintsugi.model.verdict import Verdict

SCHEMA: Final = "kintsugi.trajectory/1"

Failing = Literal["outcome", "verdict", "tool", "any-tool"]
RunKind = Literal["session", "trace", "exchange"]


class TrajectoryRules(msgspec.Struct, frozen=True, omit_defaults=True):
    """When a run is finished, and when it was no success.

    Attributes:
        idle_seconds: nothing came for so long: it is over.
        fail_on: any of these makes it a failure. ``outcome``: its last exchange was not answered,
            or with an error. ``verdict``: an exchange was stopped, and no approval let it go on
            later. ``tool``: a tool's last result was a failure. ``any-tool``: any result was.
    """

    idle_seconds: float = 1800.0
    fail_on: tuple[Failing, ...] = ("outcome", "verdict", "tool")


class Turn(msgspec.Struct, frozen=True, omit_defaults=True):
    """One turn as ShareGPT has it.

    Attributes:
        sender: ``from`` on the wire: ``system``, ``human``, ``gpt`` or ``tool``.
        value: with ``<think>``, ``<tool_call>`` and ``<tool_response>`` blocks.
        tool_failure: what went wrong, on the result of a tool that failed.
    """

    sender: Literal["system", "human", "gpt", "tool"] = msgspec.field(name="from")
    value: str
    tool_failure: ToolFailure | None = None


class TrajectoryMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One piece of text, once, however many requests repeated it.

    Attributes:
        role, kind, text, name: of its ``Part``; ``text`` as recorded (masked).
        event_id: of the exchange in which it came first; ``path`` is its place there.
        tool_failure: on the result of a tool that failed.
        recovered: a later result of the same tool was none.
    """

    role: str
    kind: PartKind
    text: str
    event_id: str
    path: str = ""
    name: str = ""
    tool_failure: ToolFailure | None = None
    recovered: bool = False


class TrajectoryExchange(msgspec.Struct, frozen=True, omit_defaults=True):
    """One exchange of the run: what replays need to find and check the recorded one.

    Attributes:
        messages: how many of the trajectory's messages came with it first.
        unread: why its recorded text could not be read; empty where it could.
    """

    event_id: str
    timestamp: datetime
    dialect: str
    config_version: str
    revision: str
    verdict: Verdict
    reason_code: str
    status: ExchangeStatus
    http_status: int = 0
    model: str = ""
    policy_name: str = ""
    trace_id: str = ""
    request_digest: str = ""
    response_digest: str = ""
    error: str = ""
    tool_failures: tuple[ToolFailure, ...] = ()
    approval_of: str = ""
    messages: int = 0
    unread: str = ""


class Trajectory(msgspec.Struct, frozen=True, omit_defaults=True):
    """One run.

    Attributes:
        conversations: for readers of ShareGPT files.
        timestamp: of its last exchange.
        model: of its last exchange with one.
        completed: whether it was a success; ``failures`` says why not.
        id: the event id of its first exchange.
        subject: the session or trace id; the event's id for an exchange that belongs to none.
        begins_earlier: what came before lies outside of what was looked at.
        tools: names of the tools on offer.
    """

    conversations: tuple[Turn, ...]
    timestamp: datetime
    model: str
    completed: bool
    id: str
    run: RunKind
    subject: str
    started_at: datetime
    failures: tuple[str, ...] = ()
    user_id: str = ""
    agent_id: str = ""
    workflow: str = ""
    tools: tuple[str, ...] = ()
    exchanges: tuple[TrajectoryExchange, ...] = ()
    messages: tuple[TrajectoryMessage, ...] = ()
    begins_earlier: bool = False
    schema: str = msgspec.field(default="")
