"""``kt replay``: recorded decisions judged again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kintsugi.cli.client import Client
from kintsugi.cli.filters import Where, event_filters
from kintsugi.cli.options import ApiUrlOption, JsonOption, StateOption
from kintsugi.cli.output import Output, facts, table
from kintsugi.cli.parts import program

if TYPE_CHECKING:
    from rich.console import RenderableType

_EXIT_WRONG = 3
_PAGE = 50
_TRACE = re.compile("[0-9a-f]{32}")
_INCIDENT = re.compile(r"INC-\d+", re.IGNORECASE)
_RESULTS = ("same", "differs", "not_reproducible")
_COLUMNS = ("event", "what")


@event_filters
def replay(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(
            metavar="[EVENT|TRACE|INCIDENT]",
            help="An event's id, a trace id (32 hex digits), or INC-7; filters narrow it down.",
            show_default=False,
        ),
    ] = "",
    by: Annotated[
        str,
        typer.Option(
            "--with",
            metavar="CONFIG@VERSION",
            help="Judge by this version; by each decision's own if left out.",
            show_default=False,
        ),
    ] = "",
    limit: Annotated[
        int, typer.Option(min=1, help="At most so many decisions, newest first.")
    ] = 1000,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
    *,
    where: Where,
) -> None:
    """Judge recorded decisions again, with the gateway's own code and nothing but the record.

    The result is `same`, `differs` with what came out otherwise, or `not_reproducible` with what
    the record lacks. No model and no tool is called. Exit code 3 when a decision differs under its
    own configuration.
    """
    chosen = {**where, **_named(what)}
    if not chosen:
        raise typer.BadParameter("say what to judge again: an event, a trace, INC-7, or a filter")
    output = Output(json=as_json)
    found: list[dict[str, Any]] = []
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        for page in _pages(client, chosen, by, limit):
            found += page
            if len(page) == _PAGE:
                output.say(f"{len(found)} judged again")
    counts = Counter(str(one["result"]) for one in found)
    told = {"counts": dict(counts), "replays": found}
    output.result(told, lambda: _page(found, counts, by=by))
    if counts["differs"] and not by:
        raise typer.Exit(_EXIT_WRONG)


def _named(what: str) -> dict[str, str]:
    if not what:
        return {}
    if _INCIDENT.fullmatch(what):
        return {"incident": what}
    return {"trace": what} if _TRACE.fullmatch(what) else {"event": what}


def _pages(
    client: Client, chosen: Mapping[str, str], by: str, limit: int
) -> Iterator[list[dict[str, Any]]]:
    """A page at a time, so that a long replay shows how far it is."""
    body: dict[str, Any] = {"filter": chosen, "config_version": by}
    left = limit
    while left > 0:
        told = client.post("/v1/replays", {**body, "limit": min(left, _PAGE)})
        yield told["replays"]
        left -= len(told["replays"])
        body["cursor"] = told["next_cursor"]
        if body["cursor"] is None:
            return


def _page(found: list[dict[str, Any]], counts: Counter[str], *, by: str) -> RenderableType:
    from rich.console import Group

    told = facts((name.replace("_", " "), counts[name]) for name in _RESULTS)
    rows = [(one["event_id"], what) for one in found for what in _whats(one, by)]
    return Group(told, "", table(_COLUMNS, rows, empty="")) if rows else told


def _whats(one: Mapping[str, Any], by: str) -> Iterator[str]:
    """What is not the same, a line each; by another version that was asked for, that it is one
    needs no saying."""
    engine = "" if one["same_engine"] or by else " (another configuration or engine)"
    for difference in one["differences"]:
        change = f"{difference['recorded']} → {difference['replayed']}"
        yield f"{difference['field']}: {change}{engine}"
    for missing in one["missing"]:
        yield f"not reproducible: {missing}"
