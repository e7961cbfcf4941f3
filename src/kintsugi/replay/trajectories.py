"""Exchanges into runs, and runs into trajectories. Pure: events in, finished runs out.

A run is a session; without one, a trace; without either, the single exchange. It is over when
nothing came for a while, so a session with a long pause gives two. Every request of a conversation
repeats what was said before; a message is kept once, where it came first.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from kintsugi.model.content import Part
from kintsugi.model.event import DecisionEvent, ExchangeStatus, ToolFailure
from kintsugi.model.trajectory import (
    SCHEMA,
    RunKind,
    Trajectory,
    TrajectoryExchange,
    TrajectoryMessage,
    TrajectoryRules,
    Turn,
)
from kintsugi.replay.recorded_messages import Said, read_said

EXCHANGES_MAX: Final = 1_000
"""A longer run is told in pieces, so that one that never ends does not fill the memory."""

_SENDERS: Final = {"user": "human", "system": "system", "developer": "system", "tool": "tool"}


class Runs:
    """Collects exchanges, oldest first, and gives each run back when it is over."""

    def __init__(self, rules: TrajectoryRules, *, began_at: datetime | None = None) -> None:
        """Start with nothing.

        Args:
            began_at: since when exchanges are looked at; a run that begins within the idle time
                after it may have begun earlier.
        """
        self._rules = rules
        self._idle = timedelta(seconds=rules.idle_seconds)
        self._began_at = began_at
        self._open: OrderedDict[tuple[RunKind, str], _Run] = OrderedDict()

    def add(self, event: DecisionEvent) -> Iterator[Trajectory]:
        """Take the next exchange; the runs that are over by its time."""
        yield from self._over(event.timestamp)
        key = run_of(event)
        run = self._open.get(key)
        if run is None:
            earlier = self._may_have_begun_earlier(event.timestamp)
            run = self._open[key] = _Run(key, event.timestamp, begins_earlier=earlier)
        run.add(event)
        self._open.move_to_end(key)
        if key[0] == "exchange":
            yield self._open.pop(key).told(self._rules)
        elif len(run.exchanges) >= EXCHANGES_MAX:
            yield run.told(self._rules)
            self._open[key] = _Run(key, event.timestamp, begins_earlier=True)

    def finish(self, now: datetime) -> tuple[list[Trajectory], list[datetime]]:
        """The runs that are over by now, and the last exchange of each that is not."""
        over = list(self._over(now))
        return over, [run.last_at for run in self._open.values() if run.exchanges]

    def _over(self, now: datetime) -> Iterator[Trajectory]:
        while self._open:
            key, run = next(iter(self._open.items()))
            if run.last_at + self._idle > now:
                return
            del self._open[key]
            if run.exchanges:
                yield run.told(self._rules)

    def _may_have_begun_earlier(self, at: datetime) -> bool:
        return self._began_at is not None and at - self._began_at < self._idle


def trajectories(
    events: Iterable[DecisionEvent], rules: TrajectoryRules | None = None
) -> list[Trajectory]:
    """Every run among these exchanges, over or not; any order.

    For packages: of an incident's events one wants the runs as they were then.
    """
    runs = Runs(rules or TrajectoryRules())
    found: list[Trajectory] = []
    last: datetime | None = None
    for event in sorted(events, key=lambda one: (one.timestamp, one.id)):
        found += runs.add(event)
        last = event.timestamp
    if last is not None:
        found += runs.finish(last + timedelta(days=36_500))[0]
    return sorted(found, key=lambda one: (one.started_at, one.id))


def run_of(event: DecisionEvent) -> tuple[RunKind, str]:
    """Which run an exchange belongs to."""
    if event.session_id:
        return "session", event.session_id
    return ("trace", event.trace_id) if event.trace_id else ("exchange", event.id)


class _Run:
    """One run as it grows."""

    def __init__(
        self, key: tuple[RunKind, str], last_at: datetime, *, begins_earlier: bool
    ) -> None:
        self.key = key
        self.last_at = last_at
        self.begins_earlier = begins_earlier
        self.exchanges: list[TrajectoryExchange] = []
        self.messages: list[TrajectoryMessage] = []
        self._places: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        self._tools: dict[str, None] = {}
        self._unplaced: list[tuple[str, ToolFailure]] = []
        self._first: DecisionEvent | None = None
        self._named: dict[str, str] = {}

    def add(self, event: DecisionEvent) -> None:
        said = read_said(event)
        before = len(self.messages)
        at_path = self._asked(event, said)
        for part in said.answered:
            at_path[part.path] = self._keep(event, part)
        self._tools.update(dict.fromkeys(said.tools))
        self._mark(event, at_path)
        self._first = self._first or event
        for name in ("model", "user_id", "agent_id", "workflow"):
            if value := getattr(event, name):
                self._named[name] = value
        self.last_at = event.timestamp
        self.exchanges.append(_exchange(event, len(self.messages) - before, said.unread))

    def _asked(self, event: DecisionEvent, said: Said) -> dict[str, int]:
        """Keep what the request says for the first time; where each of its parts stands."""
        at_path: dict[str, int] = {}
        reached = 0
        for part in said.asked:
            places = self._places[_sameness(part)]
            nearest = bisect_left(places, reached)
            place = places[nearest] if nearest < len(places) else self._keep(event, part)
            at_path[part.path] = place
            reached = place + 1
        return at_path

    def _keep(self, event: DecisionEvent, part: Part) -> int:
        place = len(self.messages)
        self.messages.append(
            TrajectoryMessage(part.role, part.kind, part.text, event.id, part.path, part.name)
        )
        self._places[_sameness(part)].append(place)
        return place

    def _mark(self, event: DecisionEvent, at_path: dict[str, int]) -> None:
        """Put the failures that the gateway saw on the results that they are of."""
        for failure in event.tool_failures:
            place = at_path.get(failure.path)
            if place is None and event.dialect == "mcp":
                place = at_path.get("/result")
            if place is None:
                self._unplaced.append((event.id, failure))
            else:
                self.messages[place] = msgspec.structs.replace(
                    self.messages[place],
                    tool_failure=failure,
                    name=self.messages[place].name or failure.tool,
                )

    def told(self, rules: TrajectoryRules) -> Trajectory:
        assert self._first is not None  # noqa: S101 - a run is told after its first exchange
        messages = _with_recovery(self.messages)
        failures = tuple(self._failures(messages, rules))
        return Trajectory(
            conversations=tuple(turns(messages)),
            timestamp=self.last_at,
            model=self._named.get("model", ""),
            completed=not failures,
            id=self._first.id,
            run=self.key[0],
            subject=self.key[1],
            started_at=self._first.timestamp,
            failures=failures,
            user_id=self._named.get("user_id", ""),
            agent_id=self._named.get("agent_id", ""),
            workflow=self._named.get("workflow", ""),
            tools=tuple(self._tools),
            exchanges=tuple(self.exchanges),
            messages=tuple(messages),
            begins_earlier=self.begins_earlier,
            schema=SCHEMA,
        )

    def _failures(
        self, messages: Sequence[TrajectoryMessage], rules: TrajectoryRules
    ) -> Iterator[str]:
        last = self.exchanges[-1]
        if "outcome" in rules.fail_on and (
            last.status is not ExchangeStatus.ANSWERED or last.http_status >= 400
        ):
            detail = f" ({last.error})" if last.error else ""
            yield f"outcome: {last.status.value} {last.http_status}{detail} in {last.event_id}"
        if "verdict" in rules.fail_on:
            approved = {one.approval_of for one in self.exchanges}
            for one in self.exchanges:
                if one.verdict.stops and one.event_id not in approved:
                    yield f"verdict: {one.verdict.value} ({one.reason_code}) in {one.event_id}"
        if "tool" in rules.fail_on or "any-tool" in rules.fail_on:
            whatever = "any-tool" in rules.fail_on
            for message in messages:
                if message.tool_failure and (whatever or not message.recovered):
                    yield _tool_line(message.tool_failure, message.event_id)
            for event_id, failure in self._unplaced:
                yield _tool_line(failure, event_id)


def turns(messages: Sequence[TrajectoryMessage]) -> Iterator[Turn]:
    """The messages as ShareGPT turns: what a model says in one go is one turn."""
    spoken: list[str] = []
    spoken_in = ""
    for message in messages:
        is_models = message.role == "assistant" or message.kind in ("tool_call", "reasoning")
        if spoken and (not is_models or message.event_id != spoken_in):
            yield Turn("gpt", "\n".join(spoken))
            spoken = []
        if is_models:
            spoken.append(_spoken(message))
            spoken_in = message.event_id
        elif message.kind == "tool_result":
            value = {"name": message.name, "content": message.text}
            yield Turn("tool", _block("tool_response", value), message.tool_failure)
        else:
            yield Turn(_SENDERS.get(message.role, "human"), message.text)  # type: ignore[arg-type]
    if spoken:
        yield Turn("gpt", "\n".join(spoken))


def _spoken(message: TrajectoryMessage) -> str:
    match message.kind:
        case "reasoning":
            return f"<think>\n{message.text}\n</think>"
        case "tool_call":
            return _block(
                "tool_call", {"name": message.name, "arguments": _arguments(message.text)}
            )
        case _:
            return message.text


def _block(tag: str, value: dict[str, Any]) -> str:
    # Not msgspec: a recorded text may hold half a surrogate pair.
    return f"<{tag}>\n{json.dumps(value, ensure_ascii=False)}\n</{tag}>"


def _arguments(text: str) -> Any:
    try:
        return msgspec.json.decode(text) if text.strip() else {}
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return text


def _with_recovery(messages: Sequence[TrajectoryMessage]) -> list[TrajectoryMessage]:
    """Failed results, marked where the same tool succeeded later."""
    told = list(messages)
    succeeded: set[str] = set()
    for place in range(len(told) - 1, -1, -1):
        message = told[place]
        if message.kind != "tool_result":
            continue
        if message.tool_failure is None:
            succeeded.add(message.name)
        elif message.name in succeeded:
            told[place] = msgspec.structs.replace(message, recovered=True)
    return told


def _exchange(event: DecisionEvent, messages: int, unread: str) -> TrajectoryExchange:
    return TrajectoryExchange(
        event_id=event.id,
        timestamp=event.timestamp,
        dialect=event.dialect,
        config_version=event.config_version,
        revision=event.revision,
        verdict=event.verdict,
        reason_code=event.reason_code,
        status=event.status,
        http_status=event.http_status,
        model=event.model,
        policy_name=event.policy_name,
        trace_id=event.trace_id,
        request_digest=event.request_digest,
        response_digest=event.response_digest,
        error=event.error,
        tool_failures=event.tool_failures,
        approval_of=event.approval.escalation_id if event.approval else "",
        messages=messages,
        unread=unread,
    )


def _sameness(part: Part) -> tuple[str, ...]:
    # Clients send an answer back without its reasoning, and call ids differ; what is said counts.
    return part.role, part.kind, part.text, part.name if part.kind == "tool_call" else ""


def _tool_line(failure: ToolFailure, event_id: str) -> str:
    detail = f", {failure.detail}" if failure.detail else ""
    return f"tool: {failure.tool or 'unnamed'} ({failure.kind}{detail}) in {event_id}"
