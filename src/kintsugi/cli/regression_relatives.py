"""``kt regressions minimise``, ``variants``, ``twins``: a shorter case, and what is near it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.output import facts, harmless, table

if TYPE_CHECKING:
    from rich.console import RenderableType

# Everything that one call does is bounded; this is for a server that has much else to do.
_TIMEOUT_SECONDS: Final = 120.0
_COLUMNS: Final = ("id", "technique", "expected", "comes out", "holds")

CaseArgument = Annotated[str, typer.Argument(metavar="REG", help="The case: REG-000012.")]
WithOption = Annotated[
    str,
    typer.Option(
        "--with",
        metavar="CONFIG@VERSION",
        help="A version that puts it right; the newest one if left out.",
        show_default=False,
    ),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would come of it.")]


@online
def minimise(
    kt: Invocation,
    case: CaseArgument,
    by: WithOption = "",
    finest: Annotated[
        Literal["paragraph", "line", "sentence", "word", "character"],
        typer.Option("--finest", help="How finely texts are cut."),
    ] = "word",
    dry_run: DryRunOption = False,
) -> None:
    """Make a proposed case as short as it can be while it still reproduces.

    It goes on failing on the configuration of its time in the same way, and holding on the one that
    puts it right. A case that nothing stopped then needs such a configuration, published. Takes ten
    seconds at most; what was reached by then still reproduces.
    """
    body = {"config_version": by, "finest": finest}
    told = _asked(kt, case, "minimise", body, dry_run=dry_run)
    kt.output.result(told, lambda: _minimised(told))


@online
def variants(
    kt: Invocation,
    case: CaseArgument,
    by: WithOption = "",
    techniques: Annotated[
        list[str] | None,
        typer.Option(
            "--technique",
            help="Only this one; can be repeated. All if left out.",
            show_default=False,
        ),
    ] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Propose near variants of a case: spelled, encoded, framed, split, moved, streamed.

    Each fails on the configuration of its time, as the case does; whether it holds on the one that
    puts the case right is said. A person approves each.
    """
    body = {"config_version": by, "techniques": techniques or []}
    told = _asked(kt, case, "variants", body, dry_run=dry_run)
    kt.output.result(told, lambda: _relatives(told))


@online
def twins(
    kt: Invocation, case: CaseArgument, by: WithOption = "", dry_run: DryRunOption = False
) -> None:
    """Propose benign twins of a case, which come out the same on both configurations.

    What surrounded its trigger, recorded exchanges that are much like it, and texts that talk about
    it. Of an over-block, recorded attacks that stay stopped. A person approves each.
    """
    body = {"config_version": by}
    told = _asked(kt, case, "twins", body, dry_run=dry_run)
    kt.output.result(told, lambda: _relatives(told))


def add_to(app: typer.Typer) -> None:
    """Make these commands of a group."""
    for command in (minimise, variants, twins):
        app.command(command.__name__)(command)


def _asked(
    kt: Invocation, case: str, verb: str, body: dict[str, Any], *, dry_run: bool
) -> dict[str, Any]:
    with (
        kt.client() as client,
        kt.output.talk_console().status(f"{verb} {case}: trying it on both configurations"),
    ):
        told: dict[str, Any] = client.post(
            f"/v1/regressions/{case}/{verb}",
            body,
            dry_run=dry_run,
            timeout_seconds=_TIMEOUT_SECONDS,
        )
    return told


def _minimised(told: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    one = told["regression"]
    shown = facts(
        (
            ("case", f"{one['id']}, version {one['version']}"),
            ("dry run", told["dry_run"] or None),
            ("characters", f"{told['minimised_chars']} of {told['original_chars']}"),
            ("tests", told["tests_run"]),
            ("complete", told["complete"]),
            ("fails on", told["red"]),
            ("holds on", told["green"] or "not asked: no version that puts it right is known"),
        )
    )
    return Group(shown, "", Text(harmless(one["text"])))


def _relatives(told: dict[str, Any]) -> RenderableType:
    from rich.console import Group

    rows = [
        (
            one["regression"]["id"],
            one["regression"]["technique"],
            (one["regression"]["case"] or {}).get("expected", {}).get("verdict"),
            one["got"],
            one["holds"],
        )
        for one in told["relatives"]
    ]
    return Group(table(_COLUMNS, rows, empty="Nothing new is proposed."), "", facts(_beside(told)))


def _beside(told: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What is not proposed, and what all was tried on."""
    yield "tried on", (told["red"], told["green"])
    yield "there already", told["known"]
    yield "pass already", told["passing"]
    yield "could not run", told["unusable"]
    yield "differ, not proposed", told["differing"] or None
    yield "exchanges compared", told["neighbours_read"] or None
    yield "dry run", told["dry_run"] or None
