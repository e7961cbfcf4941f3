"""``kt playbooks``: what to do in which order, and how far it was done."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from kintsugi.cli.incident_options import DryRunOption, IncidentArgument, ReasonOption
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.output import Output, facts, table
from kintsugi.errors import InvalidInput

app = typer.Typer(
    help="Playbooks: attached to an incident, ticked step by step.", no_args_is_help=True
)

_COLUMNS = ("id", "version", "title", "applies_to", "steps")
_STEP_COLUMNS = ("id", "phase", "owner", "title", "command", "done_when")

PlaybookArgument = Annotated[
    str, typer.Argument(metavar="PLAYBOOK", help="As `kt playbooks list` shows it.")
]
StepArgument = Annotated[str, typer.Argument(metavar="STEP", help="The id of a step.")]


@app.command("list")
@online
def list_playbooks(kt: Invocation) -> None:
    """Show the playbooks that are shipped."""
    with kt.client() as client:
        found = client.get("/v1/playbooks")
    rows = ([*(one[name] for name in _COLUMNS[:-1]), len(one["steps"])] for one in found)
    kt.output.result(found, lambda: table(_COLUMNS, rows, empty="none"))


@app.command("show")
@online
def show(kt: Invocation, playbook: PlaybookArgument) -> None:
    """Show a playbook; its JSON is the beginning of your own."""
    with kt.client() as client:
        found = client.get(f"/v1/playbooks/{playbook}")
    rows = ([one.get(name, "") for name in _STEP_COLUMNS] for one in found["steps"])
    kt.output.result(found, lambda: table(_STEP_COLUMNS, rows, empty="none"))


@app.command("attach")
@online
def attach(
    kt: Invocation,
    incident: IncidentArgument,
    playbook: Annotated[
        str, typer.Argument(metavar="[PLAYBOOK]", help="One that is shipped.", show_default=False)
    ] = "",
    file: Annotated[
        Path | None, typer.Option("--file", help="One of your own, as YAML or JSON.")
    ] = None,
    reason: ReasonOption = "",
    dry_run: DryRunOption = False,
) -> None:
    """Attach a playbook, or apply a newer version of one: what was ticked stays."""
    body: dict[str, Any] = {"reason": reason}
    if playbook:
        body["playbook"] = playbook
    if file is not None:
        body["content"] = _read(file)
    path = f"/{incident}/playbooks"
    _post(kt, path, body, dry_run=dry_run)


@app.command("status")
@online
def status(kt: Invocation, incident: IncidentArgument) -> None:
    """Show what is attached to an incident, and how far it was done."""
    with kt.client() as client:
        found = client.get(f"/v1/incidents/{incident}/playbooks")
    _show(kt.output, found, found)


@app.command("assign")
@online
def assign(
    kt: Invocation,
    incident: IncidentArgument,
    playbook: PlaybookArgument,
    step: StepArgument,
    owner: Annotated[str, typer.Argument(help="Who has it from now on.")],
) -> None:
    """Give a step to somebody."""
    path = f"/{incident}/playbooks/{playbook}/steps/{step}/assign"
    _post(kt, path, {"owner": owner})


def _add_step(verb: str, said: str) -> None:
    @online
    def do(
        kt: Invocation,
        incident: IncidentArgument,
        playbook: PlaybookArgument,
        step: StepArgument,
        reason: ReasonOption = "",
    ) -> None:
        path = f"/{incident}/playbooks/{playbook}/steps/{step}/{verb}"
        _post(kt, path, {"reason": reason})

    do.__doc__ = said
    app.command(verb)(do)


_add_step("done", "Tick a step; the reason says what came of it.")
_add_step("skip", "Leave a step out, and say why.")
_add_step("reopen", "A step is not over after all; say why.")


def _read(file: Path) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(file.read_text("utf-8"))
    except YAMLError as error:
        raise InvalidInput(f"{file}: {error}") from None


def _post(kt: Invocation, path: str, body: Mapping[str, Any], *, dry_run: bool = False) -> None:
    found = kt.post(f"/v1/incidents{path}", body, dry_run=dry_run)
    _show(kt.output, found, [found])


def _show(output: Output, value: Any, runs: list[dict[str, Any]]) -> None:
    pairs = [pair for run in runs for pair in _lines(run)] or [("", "none attached")]
    output.result(value, lambda: facts(pairs))


def _lines(run: dict[str, Any]) -> list[tuple[str, str]]:
    newer = run["newest_version"] > run["version"]
    again = f"; version {run['newest_version']} can be applied" if newer else ""
    head = f"{run['title']}, version {run['version']}: {run['open']} steps open{again}"
    return [(run["playbook"], head), *(_step_line(one) for one in run["steps"])]


def _step_line(one: dict[str, Any]) -> tuple[str, str]:
    mark = {"open": " ", "done": "x", "skipped": "-"}[one["state"]]
    said = [f"{one['title']} ({one['owner']})"]
    if one["state"] == "open":
        said += [word for word in (one["command"], f"done when: {one['done_when']}") if word]
    elif one["reason"]:
        said.append(one["reason"])
    return f"  [{mark}] {one['id']}", "\n".join(said)
