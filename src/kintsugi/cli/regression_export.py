"""``kt regressions export``: regression cases as files of another tool, and what that loses."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.output import Output, facts
from kintsugi.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import RenderableType

_CASES_SHOWN = 5

RegressionFormat = Literal[
    "suites", "promptfoo", "inspect", "openai-evals", "deepeval", "junit", "tap", "sarif"
]


@online
def export_regressions(
    kt: Invocation,
    file_format: Annotated[
        RegressionFormat,
        typer.Option(
            "--format",
            help="Of the cases, or, as junit, tap and sarif, of their results on --with.",
        ),
    ],
    output_path: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="A file; a folder where there are several. One file goes to stdout without it.",
            show_default=False,
        ),
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            "--with",
            metavar="CONFIG@VERSION",
            help="What to run the cases on, for junit, tap and sarif; @latest is understood.",
            show_default=False,
        ),
    ] = "",
    incident: Annotated[
        str, typer.Option(metavar="INC", help="Only its cases.", show_default=False)
    ] = "",
    config: Annotated[
        str, typer.Option(metavar="ID", help="Only cases that test it.", show_default=False)
    ] = "",
    case_state: Annotated[
        Literal["proposed", "approved", "rejected", "replaced", "any"],
        typer.Option("--status", help="Only cases in this state."),
    ] = "approved",
    kind: Annotated[
        Literal["case", "variant", "twin", "any"], typer.Option(help="Only cases of this kind.")
    ] = "any",
) -> None:
    """Write regression cases for another tool, and say what it cannot express.

    promptfoo, inspect, openai-evals and deepeval ask a running gateway and judge what its caller
    sees; suites is what `kt policy test` reads; junit, tap and sarif are results of running the
    cases on a configuration. What is lost is told on stderr, or in the JSON.
    """
    asked = {
        "format": file_format,
        "with": by,
        "incident": incident,
        "config": config,
        "state": "" if case_state == "any" else case_state,
        "kind": "" if kind == "any" else kind,
    }
    with kt.client() as client:
        found = client.get("/v1/regressions/export", asked)
    files = found["files"]
    if output_path is None and len(files) != 1:
        raise InvalidInput(f"{file_format} is {len(files)} files: name a folder with --output")
    if output_path is None:
        kt.output.text(files[0]["text"])
        _tell_losses(kt.output, found)
        return
    written = [str(path) for path in _write(files, output_path)]
    if not kt.output.json:
        _tell_losses(kt.output, found)
    told = {name: found[name] for name in ("cases", "left_out", "losses")}
    kt.output.result({"files": written, **told}, lambda: _page(written, found))


def _write(files: list[dict[str, str]], target: Path) -> list[Path]:
    """One file takes the target's name; several, or one in a folder that is there, keep theirs."""
    alone = len(files) == 1 and not target.is_dir()
    written = []
    for file in files:
        name = PurePosixPath(file["name"])
        if name.is_absolute() or ".." in name.parts:
            raise InvalidInput(f"the control plane names a file outside the folder: {name}")
        path = target if alone else target / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file["text"], encoding="utf-8")
        except OSError as error:
            raise InvalidInput(f"{path} cannot be written: {error.strerror or error}") from error
        written.append(path)
    return written


def _tell_losses(output: Output, found: dict[str, Any]) -> None:
    for loss in found["losses"]:
        cases = loss["cases"]
        shown = ", ".join(cases[:_CASES_SHOWN])
        more = f" and {len(cases) - _CASES_SHOWN} more" if len(cases) > _CASES_SHOWN else ""
        output.say(f"lost: {loss['field']} of {shown}{more}: {loss['why']}")


def _page(written: list[str], found: dict[str, Any]) -> RenderableType:
    return facts(
        (
            ("written", "\n".join(written)),
            ("cases", found["cases"]),
            ("left out", found["left_out"] or ""),
        )
    )
