"""The whole chain of one trace: our decisions and the steps that applications reported, as a tree.

Flat, in the order in which a person reads it: each node with its depth, parents before children,
siblings by time. What a parent's id names and nobody reported stands there as missing; a ring of
parents, which only a broken or hostile sender makes, is cut where it begins first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import msgspec

from kintsugi.model.event import Attempt, DecisionEvent
from kintsugi.model.oversight import Escalation
from kintsugi.model.span import Held, Span, Step
from kintsugi.model.verdict import Verdict

Source = Literal["span", "decision", "attempt", "review", "missing"]

_LAST: Final = datetime.max.replace(tzinfo=UTC)
_RING: Final = "its parents form a ring"
_UNREPORTED: Final = "this step was not reported"


class TraceNode(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step.

    Attributes:
        source: who told of it: an application (``span``), a gateway (``decision`` and its
            ``attempt``), a person (``review``), or nobody (``missing``).
        id: span id, or the event's id; those of attempts and reviews are made from it.
        parent_id: of the node above; empty at a root.
        status: of a span ``unset``, ``ok`` or ``error``; of a decision how its exchange ended; of
            an attempt its HTTP status or error; of a review its status.
        where: service, gateway, target or person.
        attributes: canonical ones.
        holds: the kinds of content that a span came with.
        note: what is odd about it.
    """

    source: Source
    id: str
    depth: int
    step: Step
    name: str
    parent_id: str = ""
    at: datetime | None = None
    duration_ms: float | None = None
    status: str = ""
    verdict: Verdict | None = None
    reason_code: str = ""
    where: str = ""
    attributes: dict[str, Any] = {}
    holds: tuple[Held, ...] = ()
    note: str = ""


def trace_tree(
    events: Sequence[DecisionEvent],
    spans: Sequence[Span],
    escalations: Mapping[str, Escalation] | None = None,
) -> tuple[TraceNode, ...]:
    """Every step of a trace.

    Args:
        events: of this trace, payloads not needed.
        escalations: what became of those that the events raised, by id.
    """
    nodes = {span.span_id: _of_span(span) for span in spans}
    nodes |= {event.id: _of_event(event) for event in events}
    for event in events:
        nodes |= {node.id: node for node in _inside(event, (escalations or {}).get(event.id))}
    children: defaultdict[str, list[TraceNode]] = defaultdict(list)
    for node in sorted(nodes.values(), key=_place):
        children[node.parent_id].append(node)
    for parent in children.keys() - nodes.keys() - {""}:
        nodes[parent] = _missing(parent, children[parent])
        children[""].append(nodes[parent])
    children[""].sort(key=_place)
    return tuple(_walk(nodes, children))


def _walk(
    nodes: Mapping[str, TraceNode], children: Mapping[str, list[TraceNode]]
) -> Iterator[TraceNode]:
    """Depth first, without recursion: a chain of spans may be as long as its sender likes."""
    left = dict.fromkeys(node.id for node in sorted(nodes.values(), key=_place))
    waiting = [(node, 0) for node in reversed(children.get("", []))]
    while left or waiting:
        if not waiting:  # whoever is left can be reached from no root
            first = nodes[next(iter(left))]
            waiting.append((msgspec.structs.replace(first, note=_RING), 0))
        node, depth = waiting.pop()
        if node.id not in left:
            continue
        del left[node.id]
        yield msgspec.structs.replace(node, depth=depth)
        waiting += [(child, depth + 1) for child in reversed(children.get(node.id, []))]


def _place(node: TraceNode) -> tuple[bool, datetime, bool, str]:
    # A step that a gateway tells of stands behind an application's that began at the same moment.
    return node.at is None, node.at or _LAST, node.source != "span", node.id


def _of_span(span: Span) -> TraceNode:
    return TraceNode(
        source="span",
        id=span.span_id,
        depth=0,
        step=span.step,
        name=span.name,
        parent_id=span.parent_span_id,
        at=span.started_at,
        duration_ms=_milliseconds(span.ended_at - span.started_at),
        status=span.status,
        where=span.service,
        attributes=span.attributes,
        holds=span.holds,
    )


def _of_event(event: DecisionEvent) -> TraceNode:
    told = {
        "gen_ai.request.model": event.model,
        "gen_ai.response.model": event.response_model,
        "gen_ai.provider.name": event.provider,
        "gen_ai.tool.name": event.tool_name,
        "gen_ai.conversation.id": event.session_id,
        "gen_ai.agent.id": event.agent_id,
        "user.id": event.user_id,
        "mcp.method.name": event.mcp_method,
        "gen_ai.usage.input_tokens": event.input_tokens,
        "gen_ai.usage.output_tokens": event.output_tokens,
        "http.response.status_code": event.http_status,
        "error.type": event.error,
        "kintsugi.config_version": event.config_version,
        "kintsugi.policy_name": event.policy_name,
        "kintsugi.tool_failures": [f"{found.tool}: {found.kind}" for found in event.tool_failures],
    }
    return TraceNode(
        source="decision",
        id=event.id,
        depth=0,
        step=_step_of(event),
        name=_name_of(event),
        parent_id=event.parent_span_id,
        at=event.timestamp,
        duration_ms=event.latency_ms,
        status=event.status.value,
        verdict=event.verdict,
        reason_code=event.reason_code,
        where=event.gateway_id,
        attributes={name: value for name, value in told.items() if value},
        note="" if event.parent_span_id else "joined by the trace id alone",
    )


def _step_of(event: DecisionEvent) -> Step:
    if event.dialect == "mcp":
        return Step.TOOL if event.mcp_method == "tools/call" else Step.OTHER
    return Step.EMBEDDING if event.dialect.endswith(".embeddings") else Step.MODEL


def _name_of(event: DecisionEvent) -> str:
    if event.dialect == "mcp":
        return f"{event.mcp_method} {event.tool_name}".strip()
    return f"{event.dialect} {event.model}".strip()


def _inside(event: DecisionEvent, escalation: Escalation | None) -> Iterator[TraceNode]:
    for number, attempt in enumerate(event.attempts, start=1):
        yield _of_attempt(event, number, attempt)
    if escalation is not None:
        yield TraceNode(
            source="review",
            id=f"{event.id}/review",
            depth=0,
            step=Step.APPROVAL,
            name="escalation",
            parent_id=event.id,
            at=escalation.resolved_at or escalation.claimed_at or escalation.report.created_at,
            status=escalation.status,
            where=escalation.resolved_by or escalation.claimed_by,
        )
    if event.approval is not None:
        yield TraceNode(
            source="review",
            id=f"{event.id}/approval",
            depth=0,
            step=Step.APPROVAL,
            name="approval used",
            parent_id=event.id,
            at=event.approval.approved_at or event.timestamp,
            status="approved",
            where=event.approval.approved_by,
            attributes={"kintsugi.escalation_id": event.approval.escalation_id},
        )


def _of_attempt(event: DecisionEvent, number: int, attempt: Attempt) -> TraceNode:
    # Offsets of a hostile record may be out of all proportion.
    offset = timedelta(milliseconds=min(max(0.0, attempt.started_ms), 86_400_000.0))
    return TraceNode(
        source="attempt",
        id=f"{event.id}/attempt-{number}",
        depth=0,
        step=_step_of(event),
        name=f"call of {attempt.target_id}",
        parent_id=event.id,
        at=event.timestamp + offset,
        duration_ms=attempt.duration_ms,
        status=attempt.error or str(attempt.status),
        where=attempt.target_id,
    )


def _missing(parent_id: str, below: Iterable[TraceNode]) -> TraceNode:
    return TraceNode(
        source="missing",
        id=parent_id,
        depth=0,
        step=Step.OTHER,
        name="not reported",
        at=min((node.at for node in below if node.at is not None), default=None),
        note=_UNREPORTED,
    )


def _milliseconds(took: timedelta) -> float:
    return took / timedelta(milliseconds=1)
