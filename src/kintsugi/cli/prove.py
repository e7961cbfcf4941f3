"""``kt prove`` and ``kt proofs``: the cases of an incident, red then and green now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.options import LimitOption
from kintsugi.cli.output import facts, table
from kintsugi.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(help="Proofs that were made, red and green.", no_args_is_help=True)

_EXIT_WRONG: Final = 3
# A thousand cases take two seconds.
_TIMEOUT_SECONDS: Final = 600.0
_COLUMNS: Final = ("case", "kind", "red", "green", "result")
_LIST_COLUMNS: Final = ("id", "incident", "passed", "red", "green", "results", "by", "at")
_MEANS: Final = {
    "proved": "proved",
    "never_red": "never red: it holds on the old configuration, and a case that cannot fail is "
    "refused",
    "still_red": "still red: the candidate does not meet it",
    "twin_broken": "twin broken",
    "could_not_run": "could not run",
}


@online
def prove(
    kt: Invocation,
    incident: Annotated[str, typer.Argument(metavar="INCIDENT", help="INC-7, or its id.")],
    by: Annotated[
        str,
        typer.Option(
            "--with",
            metavar="CONFIG@VERSION",
            help="The candidate; the newest published version if left out.",
            show_default=False,
        ),
    ] = "",
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="A candidate that is not published.", exists=True),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Try it; keep nothing.")] = False,
) -> None:
    """Prove the cases of an incident: red on the configuration of its time, green on the candidate.

    Twins have to hold on both. Both runs are kept and in the log. Exit code 3 when it is not
    proved.
    """
    if by and file is not None:
        raise typer.BadParameter("name a candidate with --with or --file, not both")
    body = {"config_version": by} if by else {}
    if file is not None:
        body = {"content": _read(file)}
    with kt.client() as client:
        told = client.post(
            f"/v1/incidents/{incident}/prove",
            body,
            dry_run=dry_run,
            timeout_seconds=_TIMEOUT_SECONDS,
        )
    kt.output.result(told, lambda: _page(told))
    if not told["proof"]["passed"]:
        raise typer.Exit(_EXIT_WRONG)


@app.command("list")
@online
def list_proofs(
    kt: Invocation,
    incident: Annotated[
        str, typer.Option("--incident", help="Of this incident.", show_default=False)
    ] = "",
    limit: LimitOption = 50,
) -> None:
    """Show proofs, newest first."""
    params = {"incident": incident} if incident else {}
    with kt.client() as client:
        found = list(client.all("/v1/proofs", params, limit=limit))
    rows = [
        [
            *(one["id"], one["reference"], one["passed"], one["red"], one["green"]),
            *(_counted(one["results"]), one["by"], one["at"]),
        ]
        for one in found
    ]
    kt.output.result(found, lambda: table(_LIST_COLUMNS, rows, empty="nothing was proven yet"))


@app.command("show")
@online
def show_proof(
    kt: Invocation, proof_id: Annotated[str, typer.Argument(metavar="PROOF", help="PRF-7.")]
) -> None:
    """Show one proof: what every case came to on both sides."""
    with kt.client() as client:
        told = client.get(f"/v1/proofs/{proof_id}")
    kt.output.result(told, lambda: _page(told))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}") from None


def _page(told: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group

    proof = told["proof"]
    runs = _runs(proof)
    rows = [
        [
            one["regression_id"],
            one["kind"],
            _side(runs.get(("red", one["regression_id"])), one["red"]),
            _side(runs.get(("green", one["regression_id"])), one["green"]),
            _result(one),
        ]
        for one in proof.get("cases", ())
    ]
    known = [
        ("incident", proof["reference"]),
        ("proof", proof["id"] or "not kept: a dry run"),
        ("proved", proof["passed"]),
        ("why not", proof.get("reasons", ())),
        ("cases", _counted(Counter(one["result"] for one in proof.get("cases", ())))),
        ("engine", [*_other_engines(proof)]),
        ("log", f"leaf {told['leaf']}, {told['record_digest']}" if told["leaf"] else ""),
        ("binds from now on", told.get("bound", ())),
    ]
    return Group(table(_COLUMNS, rows, empty="no approved case"), "", facts(known))


def _runs(proof: Mapping[str, Any]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """How each case ran, by side and case."""
    return {
        (run["side"], case["regression_id"]): {**case, "on": run["config_version"]}
        for run in proof.get("runs", ())
        for case in run["cases"]
    }


def _side(ran: Mapping[str, Any] | None, version: str) -> str:
    if ran is None or ran["met"] is None:
        why = f": {ran['why']}" if ran is not None and ran.get("why") else ""
        return f"{version} could not run{why}"
    came = ran.get("verdict", "")
    return f"{version} {'holds' if ran['met'] else 'fails'} ({came})"


def _result(one: Mapping[str, Any]) -> str:
    sides = f" on {' and '.join(one['sides'])}" if one.get("sides") else ""
    return _MEANS[one["result"]] + sides


def _other_engines(proof: Mapping[str, Any]) -> Iterator[str]:
    """Configurations that do not mean today what they meant then."""
    for run in proof.get("runs", ()):
        if run.get("error"):
            yield f"{run['config_version']}: {run['error']}"
        elif not run["same_engine"]:
            yield (
                f"{run['config_version']} was {run['recorded_revision']} and comes to "
                f"{run['revision']} on this engine"
            )


def _counted(results: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(results.items()))
