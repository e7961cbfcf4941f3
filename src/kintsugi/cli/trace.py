"""``kt trace``: the whole chain of one output, and which traces there are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.options import LimitOption
from kintsugi.cli.output import facts, harmless, one_line, table

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(help="Traces: decisions and what applications reported around them.")

_MARKS = {"span": "·", "decision": "◆", "attempt": "→", "review": "✎", "missing": "?"}
_SHOWN = (
    "gen_ai.request.model",
    "gen_ai.tool.name",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "kintsugi.approval.decision",
    "kintsugi.write.system",
    "kintsugi.records",
    "kintsugi.tool_failures",
    "error.type",
)


@app.command("show")
@online
def show(
    kt: Invocation,
    trace_id: Annotated[str, typer.Argument(metavar="TRACE_ID", help="32 hex digits.")],
) -> None:
    """Show every step of one trace as a tree, and which evidence of it is missing.

    Steps are marked by who told of them: ◆ a gateway's decision, → its call of a target, ✎ a
    person, · an application, ? nobody (another step names it as its parent).
    """
    with kt.client() as client:
        view = client.get(f"/v1/traces/{trace_id}")
    kt.output.result(view, lambda: _page(view))


@app.command("reveal")
@online
def reveal(
    kt: Invocation,
    trace_id: Annotated[str, typer.Argument(metavar="TRACE_ID", help="32 hex digits.")],
    span_id: Annotated[str, typer.Argument(metavar="SPAN_ID", help="16 hex digits.")],
    reason: Annotated[str, typer.Option(help="Why; kept in custody.")],
) -> None:
    """Show what one reported step was given and gave. Who saw it and why goes on record."""
    with kt.client() as client:
        address = f"/v1/traces/{trace_id}/spans/{span_id}/reveal"
        revealed = client.post(address, {"reason": reason})
    kt.output.result(revealed, lambda: facts(revealed["read"].items()))


@app.command("list")
@online
def list_traces(
    kt: Invocation,
    since: Annotated[str, typer.Option(help="From when: 1h, 7d, or a time.")] = "",
    until: Annotated[str, typer.Option(help="Up to when, in the same forms.")] = "",
    service: Annotated[str, typer.Option(help="service.name of an application.")] = "",
    session: Annotated[str, typer.Option(help="Session or conversation id.")] = "",
    user: Annotated[str, typer.Option(help="User id.")] = "",
    agent: Annotated[str, typer.Option(help="Agent.")] = "",
    step: Annotated[
        str, typer.Option(help="With a step of this kind: tool, retrieval, approval, write …")
    ] = "",
    verdict: Annotated[str, typer.Option(help="Strictest verdict in it.")] = "",
    failed: Annotated[
        bool | None, typer.Option("--failed/--no-failed", help="Whether a span failed.")
    ] = None,
    limit: LimitOption = 20,
) -> None:
    """Show traces, newest first."""
    told = {
        "since": since,
        "until": until,
        "service": service,
        "session": session,
        "user": user,
        "agent": agent,
        "step": step,
        "verdict": verdict,
        "failed": "" if failed is None else str(failed).lower(),
    }
    where = {name: value for name, value in told.items() if value}
    with kt.client() as client:
        found = list(client.all("/v1/traces", where, limit=limit))
    kt.output.result(found, lambda: _list(found))


def _list(found: list[dict[str, Any]]) -> RenderableType:
    columns = ("began", "verdict", "spans", "decisions", "failed", "service", "trace")
    rows = [
        (
            trace["started_at"][:19].replace("T", " "),
            trace.get("verdict", ""),
            trace.get("spans", 0),
            trace.get("decisions", 0),
            trace.get("failed", 0) or "",
            ", ".join(_services(trace)),
            trace["trace_id"],
        )
        for trace in found
    ]
    return table(columns, rows, empty="no trace matches", gap=1)


def _services(trace: dict[str, Any]) -> Iterator[str]:
    for label in trace.get("labels", []):
        name, _, value = label.partition(":")
        if name == "service":
            yield value


def _page(view: dict[str, Any]) -> RenderableType:
    from rich.console import Group  # here: only text output pays for it
    from rich.text import Text

    trace = view["trace"]
    began = trace["started_at"]
    lines = [Text(f"trace {harmless(trace['trace_id'])}", style="bold"), Text(f"began {began}")]
    if trace.get("expired_at"):
        gone = f"what applications reported expired on {trace['expired_at'][:10]}"
        lines.append(Text(f"{gone} under policy {trace['expired_under']}", style="yellow"))
    lines += [Text("")]
    lines += [_line(node, began) for node in view["nodes"]]
    if view["truncated"]:
        lines.append(Text("… there are more steps than are shown"))
    lines += [Text(""), Text("Evidence (CONTRACT §6)", style="bold")]
    rows = [
        (line["state"], line["title"], "; ".join(_lacking(line))) for line in view["completeness"]
    ]
    return Group(*lines, table(("state", "evidence", "missing"), rows, empty=""))


def _lacking(line: dict[str, Any]) -> list[str]:
    expired = [f"{name}: expired under retention" for name in line.get("expired", ())]
    return [*line["missing"], *expired]


def _line(node: dict[str, Any], began: str) -> Any:
    from rich.text import Text

    text = Text("  " * min(node["depth"], 20))
    missing = node["source"] == "missing"
    text.append(f"{_MARKS[node['source']]} ", style="yellow" if missing else "cyan")
    text.append(one_line(node["name"], width_max=60), style="bold")
    text.append(f"  [{node['step']}]", style="dim")
    if node.get("at") is not None:
        text.append(f"  +{_offset_ms(node['at'], began):.1f} ms", style="dim")
    if node.get("duration_ms") is not None:
        text.append(f", {node['duration_ms']:.1f} ms", style="dim")
    if verdict := node.get("verdict"):
        stopped = verdict in ("block", "quarantine", "escalate")
        text.append(f"  {verdict}", style="red" if stopped else "green")
        text.append(f" ({one_line(node.get('reason_code', ''))})")
    status = node.get("status", "")
    if status not in ("", "unset", "ok", "answered"):
        text.append(f"  {one_line(status)}", style="red")
    for extra in (node.get("where", ""), *_told(node), node.get("note", "")):
        if extra:
            text.append(f"  {one_line(extra, width_max=80)}", style="dim")
    return text


def _told(node: dict[str, Any]) -> Iterator[str]:
    attributes = node.get("attributes", {})
    for name in _SHOWN:
        if name in attributes:
            value = attributes[name]
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield f"{name.rpartition('.')[2]}={shown}"


def _offset_ms(at: str, began: str) -> float:
    return (datetime.fromisoformat(at) - datetime.fromisoformat(began)).total_seconds() * 1000
