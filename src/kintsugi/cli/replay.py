"""``kt replay``: recorded decisions judged again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from kintsugi.cli.arrival import WaitForEventOption, once_stored
from kintsugi.cli.client import Client
from kintsugi.cli.filters import Where, event_filters
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.output import facts, json_text, table
from kintsugi.errors import NotFound

if TYPE_CHECKING:
    from rich.console import RenderableType

_EXIT_WRONG = 3
_PAGE = 200
# Rows that are shown of what is not the same; all of them are in --output.
_SHOWN_MAX = 200
_TRACE = re.compile("[0-9a-f]{32}")
_INCIDENT = re.compile(r"INC-\d+", re.IGNORECASE)
_RESULTS = ("same", "differs", "not_reproducible")
# Names and numbers of single exchanges, by which nobody counts.
_PLACE = re.compile(r"\S*/\S*|\d+")
_COLUMNS = ("event", "what")
_VERDICT_COLUMNS = ("decisions", "verdict")
_RULE_COLUMNS = ("decisions", "what came out otherwise, or is missing")


@event_filters
@online
def replay(
    kt: Invocation,
    where: Where,
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
    after: Annotated[
        str,
        typer.Option(
            metavar="CURSOR", help="Go on after this, as an earlier run said.", show_default=False
        ),
    ] = "",
    to: Annotated[
        Path | None,
        typer.Option(
            "--output",
            dir_okay=False,
            help="Write every result to this file, one JSON document a line; added to with "
            "--after.",
            show_default=False,
        ),
    ] = None,
    wait_seconds: WaitForEventOption = 30,
) -> None:
    """Judge recorded decisions again, with the gateway's own code and nothing but the record.

    The result is `same`, `differs` with what came out otherwise and why, or `not_reproducible`
    with what the record lacks. No model and no tool is called. Exit code 3 when a decision differs
    under its own configuration, 1 when what is named is not there. An event that its gateway has
    still to ship is waited for.
    """
    chosen = {**where, **_named(what)}
    if not chosen:
        raise typer.BadParameter("say what to judge again: an event, a trace, INC-7, or a filter")
    told = Told(by=by, keeps_all=kt.output.json and to is None)

    def asked(client: Client, body: dict[str, Any]) -> Any:
        return once_stored(
            lambda: client.post("/v1/replays", body), wait_seconds=wait_seconds, say=kt.output.say
        )

    with (
        kt.client() as client,
        _opened(to, adds=bool(after)) as file,
    ):
        for page, cursor in _pages(lambda body: asked(client, body), chosen, by, limit, after):
            told.take(page, cursor)
            if file is not None:
                file.writelines(json_text(one, indent=0) + "\n" for one in page)
                file.flush()
            if cursor is not None:
                kt.output.say(f"{told.count} judged again; --after {cursor} goes on from here")
    if not told.count and not after:
        nothing = "no decision matches; kt events tail shows what is stored"
        if what:
            raise NotFound(f"{what}: {nothing}")
        kt.output.say(nothing)
    kt.output.result(told.document(), told.page)
    if told.counts["differs"] and not by:
        raise typer.Exit(_EXIT_WRONG)


def _opened(path: Path | None, *, adds: bool) -> AbstractContextManager[IO[str] | None]:
    return nullcontext() if path is None else path.open("a" if adds else "w", encoding="utf-8")


class Told:
    """What came of a replay so far. What is kept of it is bounded, unless all of it is wanted.

    Args:
        by: the version that was asked for; empty for each decision's own.
        keeps_all: every result, for the JSON document.
    """

    def __init__(self, *, by: str, keeps_all: bool) -> None:
        self._by = by
        self.counts: Counter[str] = Counter()
        self._by_rule: Counter[str] = Counter()
        self._by_verdict: Counter[str] = Counter()
        self._rows: list[tuple[str, str]] = []
        self._all: list[Mapping[str, Any]] | None = [] if keeps_all else None
        self._cursor: str | None = None

    @property
    def count(self) -> int:
        """How many decisions were judged again."""
        return self.counts.total()

    def take(self, page: Iterable[Mapping[str, Any]], cursor: str | None) -> None:
        """Take in a page of results."""
        self._cursor = cursor
        for one in page:
            self.counts[str(one["result"])] += 1
            self._by_rule.update(dict.fromkeys((whose for whose, _ in _whats(one, self._by)), 1))
            self._by_verdict.update(_verdicts(one))
            if self._all is not None:
                self._all.append(one)
            if len(self._rows) < _SHOWN_MAX:
                self._rows += [(one["event_id"], text) for _, text in _whats(one, self._by)]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        found = {
            "counts": {name: self.counts[name] for name in _RESULTS},
            "by_verdict": dict(self._by_verdict.most_common()),
            "by_rule": dict(self._by_rule.most_common()),
            "next_cursor": self._cursor,
        }
        return found if self._all is None else {**found, "replays": self._all}

    def page(self) -> RenderableType:
        """For reading."""
        from rich.console import Group

        counts = facts((name.replace("_", " "), self.counts[name]) for name in _RESULTS)
        if not self._rows:
            return counts
        parts: list[RenderableType] = [counts]
        for columns, found in (
            (_VERDICT_COLUMNS, self._by_verdict),
            (_RULE_COLUMNS, self._by_rule),
        ):
            rows = [(str(count), text) for text, count in found.most_common()]
            parts += ["", table(columns, rows, empty="")] if rows else []
        return Group(*parts, "", table(_COLUMNS, self._rows[:_SHOWN_MAX], empty=""))


def _verdicts(one: Mapping[str, Any]) -> Iterator[str]:
    """The verdict that was recorded and the one that came out, where they differ."""
    for difference in one["differences"]:
        if difference["field"] == "verdict":
            yield f"{difference['recorded']} → {difference['replayed']}"


def _named(what: str) -> dict[str, str]:
    if not what:
        return {}
    if _INCIDENT.fullmatch(what):
        return {"incident": what}
    return {"trace": what} if _TRACE.fullmatch(what) else {"event": what}


def _pages(
    ask: Callable[[dict[str, Any]], Any],
    chosen: Mapping[str, str],
    by: str,
    limit: int,
    after: str,
) -> Iterator[tuple[list[dict[str, Any]], str | None]]:
    """A page at a time with where the next begins, so that a long replay shows how far it is."""
    body: dict[str, Any] = {"filter": chosen, "config_version": by, "cursor": after or None}
    left = limit
    while left > 0:
        told = ask({**body, "limit": min(left, _PAGE)})
        yield told["replays"], told["next_cursor"]
        left -= len(told["replays"])
        body["cursor"] = told["next_cursor"]
        if body["cursor"] is None:
            return


def _whats(one: Mapping[str, Any], by: str) -> Iterator[tuple[str, str]]:
    """What is not the same, a line each, after what such lines are counted by; by another version
    that was asked for, that it is one needs no saying."""
    engine = "" if one["same_engine"] or by else " (another configuration or engine)"
    for difference in one["differences"]:
        why = f": {difference['why']}" if difference["why"] else ""
        change = f"{difference['recorded']} → {difference['replayed']}"
        yield difference["field"], f"{difference['field']}: {change}{why}{engine}"
    said = "not judged any further" if one["differences"] else "not reproducible"
    for missing in one["missing"]:
        yield f"{said}: {_PLACE.sub('…', missing)}", f"{said}: {missing}"
