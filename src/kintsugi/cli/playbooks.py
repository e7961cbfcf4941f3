"""``kt playbooks``: what to do in which order, and how far it was done."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from kintsugi.cli.client import Client
from kintsugi.cli.incident_options import DryRunOption, IncidentArgument, ReasonOption
from kintsugi.cli.options import ApiUrlOption, JsonOption, StateOption
from kintsugi.cli.output import Output, facts, table
from kintsugi.cli.parts import program
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
def list_playbooks(
    context: typer.Context,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Show the playbooks that are shipped."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = client.get("/v1/playbooks")
    rows = ([*(one[name] for name in _COLUMNS[:-1]), len(one["steps"])] for one in found)
    Output(json=as_json).result(found, lambda: table(_COLUMNS, rows, empty="none"))


@app.command("show")
def show(
    context: typer.Context,
    playbook: PlaybookArgument,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Show a playbook; its JSON is the beginning of your own."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = client.get(f"/v1/playbooks/{playbook}")
    rows = ([one.get(name, "") for name in _STEP_COLUMNS] for one in found["steps"])
    Output(json=as_json).result(found, lambda: table(_STEP_COLUMNS, rows, empty="none"))


@app.command("attach")
def attach(
    context: typer.Context,
    incident: IncidentArgument,
    playbook: Annotated[
        str, typer.Argument(metavar="[PLAYBOOK]", help="One that is shipped.", show_default=False)
    ] = "",
    file: Annotated[
        Path | None, typer.Option("--file", help="One of your own, as YAML or JSON.")
    ] = None,
    reason: ReasonOption = "",
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Attach a playbook, or apply a newer version of one: what was ticked stays."""
    body: dict[str, Any] = {"reason": reason}
    if playbook:
        body["playbook"] = playbook
    if file is not None:
        body["content"] = _read(file)
    path = f"/{incident}/playbooks"
    _post(context, path, body, as_json=as_json, dry_run=dry_run, state=state, api_url=api_url)


@app.command("status")
def status(
    context: typer.Context,
    incident: IncidentArgument,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Show what is attached to an incident, and how far it was done."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = client.get(f"/v1/incidents/{incident}/playbooks")
    _show(found, found, as_json=as_json)


@app.command("assign")
def assign(
    context: typer.Context,
    incident: IncidentArgument,
    playbook: PlaybookArgument,
    step: StepArgument,
    owner: Annotated[str, typer.Argument(help="Who has it from now on.")],
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Give a step to somebody."""
    path = f"/{incident}/playbooks/{playbook}/steps/{step}/assign"
    _post(context, path, {"owner": owner}, as_json=as_json, state=state, api_url=api_url)


def _add_step(verb: str, said: str) -> None:
    def do(
        context: typer.Context,
        incident: IncidentArgument,
        playbook: PlaybookArgument,
        step: StepArgument,
        reason: ReasonOption = "",
        as_json: JsonOption = False,
        state: StateOption = None,
        api_url: ApiUrlOption = None,
    ) -> None:
        path = f"/{incident}/playbooks/{playbook}/steps/{step}/{verb}"
        _post(context, path, {"reason": reason}, as_json=as_json, state=state, api_url=api_url)

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


def _post(
    context: typer.Context,
    path: str,
    body: Mapping[str, Any],
    *,
    as_json: bool,
    dry_run: bool = False,
    state: Path | None,
    api_url: str | None,
) -> None:
    said = {name: value for name, value in body.items() if value not in (None, "")}
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = client.post(f"/v1/incidents{path}", said, {"dry_run": "true"} if dry_run else None)
    _show(found, [found], as_json=as_json)


def _show(value: Any, runs: list[dict[str, Any]], *, as_json: bool) -> None:
    pairs = [pair for run in runs for pair in _lines(run)] or [("", "none attached")]
    Output(json=as_json).result(value, lambda: facts(pairs))


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
