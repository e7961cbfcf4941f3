"""The way of an exchange through a configuration: phases, policies, what they do, targets."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import msgspec

from kintsugi.model.config import Config
from kintsugi.model.decision import Phase
from kintsugi.policy.plan import Plan, RuleInForce, compile_plan
from kintsugi.policy.relaxed import relaxed

# In the order in which an exchange meets them; upstream is called between the two.
_BEFORE = (Phase.INPUT, Phase.ROUTE)
_AFTER = (Phase.TOOL, Phase.OUTPUT, Phase.AUDIT)


class PolicyNode(msgspec.Struct, frozen=True):
    """One policy in one phase.

    Attributes:
        action: what it asks for when it finds something.
        stops: whether the exchange ends there.
        on_error: what happens when it fails itself.
        relaxed: its settings that are weaker than they could be, and who answers for them.
    """

    policy: str
    action: str
    stops: bool
    on_error: str
    mode: str
    relaxed: tuple[str, ...] = ()


class PhaseNode(msgspec.Struct, frozen=True):
    """One phase and its policies in the order of the chain."""

    phase: str
    policies: tuple[PolicyNode, ...]


class TargetNode(msgspec.Struct, frozen=True):
    """One target, and those that take over when it fails."""

    id: str
    provider: str
    model: str
    fallback: tuple[str, ...]


class Graph(msgspec.Struct, frozen=True):
    """A whole configuration as a graph.

    Attributes:
        before, after: the phases before upstream is called and after; phases in which nothing
            runs are left out.
    """

    name: str
    revision: str
    streaming: str
    before: tuple[PhaseNode, ...]
    targets: tuple[TargetNode, ...]
    after: tuple[PhaseNode, ...]


def graph_of(config: Config) -> Graph:
    """Compile a configuration and tell the way through it.

    Raises:
        ConfigurationInvalid: it does not compile.
    """
    plan = compile_plan(config)
    weak: dict[str, list[str]] = {}
    for one in relaxed(config):
        by = "nobody answers" if one.by is None else f"{one.by.owner} until {one.by.expires}"
        weak.setdefault(one.place, []).append(f"{one.setting} ({by})")
    return Graph(
        name=config.id,
        revision=plan.revision,
        streaming=config.gateway.streaming,
        before=tuple(_phases(plan, _BEFORE, weak)),
        targets=tuple(
            TargetNode(target.id, target.provider, target.model, target.fallback)
            for target in config.targets
        ),
        after=tuple(_phases(plan, _AFTER, weak)),
    )


def _phases(
    plan: Plan, phases: tuple[Phase, ...], weak: dict[str, list[str]]
) -> Iterator[PhaseNode]:
    for phase in phases:
        if (in_force := plan.phase(phase)) is not None:
            yield PhaseNode(phase.value, tuple(_policy(rule, weak) for rule in in_force.rules))


def _policy(rule: RuleInForce, weak: dict[str, list[str]]) -> PolicyNode:
    enforces = rule.mode.value == "enforce"
    return PolicyNode(
        policy=rule.kind.name,
        action=rule.action.value,
        stops=enforces and rule.action.stops,
        on_error=rule.on_error.value,
        mode=rule.mode.value,
        relaxed=tuple(weak.get(f"policy.{rule.kind.name}", ())),
    )


def mermaid(graph: Graph) -> str:
    """As a Mermaid flowchart, which most places that show Markdown draw."""
    lines = ["flowchart LR", "  caller([caller])", "  stopped([stopped])", "  upstream{{upstream}}"]
    for group in (*graph.before, *graph.after):
        lines += [f"  subgraph {group.phase}", "    direction TB"]
        ids = [_id(group, node) for node in group.policies]
        for name, node in zip(ids, group.policies, strict=True):
            lines.append(f'    {name}["{_escaped(_label(node, "<br>"))}"]')
        lines += [f"    {' --> '.join(ids)}"] if len(ids) > 1 else []
        lines.append("  end")
    for target in graph.targets:
        words = " ".join(filter(None, (target.id, target.provider, target.model)))
        lines.append(f'  {_target_id(target.id)}[("{_escaped(words)}")]')
    lines += [f"  {one} {_arrow(label)} {other}" for one, other, label in _edges(graph)]
    weak = [_id(group, node) for group, node in _nodes(graph) if node.relaxed]
    if weak:
        lines.append("  classDef relaxed stroke-dasharray: 5 5")
        lines.append(f"  class {','.join(weak)} relaxed")
    return "\n".join(lines)


def dot(graph: Graph) -> str:
    """As Graphviz' language."""
    lines = [
        f"digraph {_quoted(graph.name)} {{",
        "  rankdir=LR; compound=true; node [shape=box];",
        "  caller [shape=oval]; stopped [shape=oval]; upstream [shape=hexagon];",
    ]
    for group in (*graph.before, *graph.after):
        lines += [f"  subgraph cluster_{group.phase} {{", f"    label={_quoted(group.phase)};"]
        ids = [_id(group, node) for node in group.policies]
        for name, node in zip(ids, group.policies, strict=True):
            style = ", style=dashed" if node.relaxed else ""
            lines.append(f"    {name} [label={_quoted(_label(node, chr(10)))}{style}];")
        lines += [f"    {' -> '.join(ids)};"] if len(ids) > 1 else []
        lines.append("  }")
    for target in graph.targets:
        words = " ".join(filter(None, (target.id, target.provider, target.model)))
        lines.append(f"  {_target_id(target.id)} [label={_quoted(words)}, shape=cylinder];")
    # Phases are joined at their first policies; the boxes around them tell the rest.
    first = {group.phase: _id(group, group.policies[0]) for group in (*graph.before, *graph.after)}
    for one, other, label in _edges(graph):
        tail = f", ltail=cluster_{one}" if one in first else ""
        head = f", lhead=cluster_{other}" if other in first else ""
        ends = f"{first.get(one, one)} -> {first.get(other, other)}"
        lines.append(f"  {ends} [label={_quoted(label)}{tail}{head}];")
    return "\n".join([*lines, "}"])


def _edges(graph: Graph) -> Iterator[tuple[str, str, str]]:
    """Who is followed by whom, and why."""
    way = [
        "caller",
        *(group.phase for group in graph.before),
        "upstream",
        *(group.phase for group in graph.after),
        "caller",
    ]
    for one, other in itertools.pairwise(way):
        yield one, other, ""
    for target in graph.targets:
        yield "upstream", _target_id(target.id), ""
        for name in target.fallback:
            yield _target_id(target.id), _target_id(name), "fails"
    for group, node in _nodes(graph):
        if node.stops:
            yield _id(group, node), "stopped", node.action


def _nodes(graph: Graph) -> Iterator[tuple[PhaseNode, PolicyNode]]:
    for group in (*graph.before, *graph.after):
        for node in group.policies:
            yield group, node


def _label(node: PolicyNode, line_break: str) -> str:
    does = node.action if node.mode == "enforce" else f"{node.mode}s ({node.action})"
    return line_break.join((node.policy, does, *node.relaxed))


def _id(group: PhaseNode, node: PolicyNode) -> str:
    return f"{group.phase}_{node.policy.replace('-', '_')}"


def _target_id(name: str) -> str:
    return "target_" + "".join(c if c.isascii() and c.isalnum() else f"_{ord(c):x}_" for c in name)


def _arrow(label: str) -> str:
    return f"-->|{label}|" if label else "-->"


def _escaped(text: str) -> str:
    """For a Mermaid label in quotes; ``<br>`` is the one tag that we write ourselves."""
    safe = text.replace("&", "&amp;").replace('"', "&quot;")
    return safe.replace("<", "&lt;").replace("&lt;br>", "<br>")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
