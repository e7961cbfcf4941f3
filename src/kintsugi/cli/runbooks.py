"""``kt runbooks``: the scripts of incident day, shipped and run from here.

They run on this machine, with the control plane's address and token in their environment.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from kintsugi.cli.client import Client
from kintsugi.cli.incident_options import DryRunOption
from kintsugi.cli.options import ApiUrlOption, JsonOption, StateOption
from kintsugi.cli.output import Output, listing
from kintsugi.cli.parts import program
from kintsugi.cli.settings import Settings
from kintsugi.errors import InvalidInput
from kintsugi.incidents.runbooks import Runbook, runbook_of, runbook_text, runbooks

app = typer.Typer(help="Runbooks: scripts for incident day.", no_args_is_help=True)

_COLUMNS = ("name", "title", "when", "arguments", "needs")

RunbookArgument = Annotated[
    str, typer.Argument(metavar="RUNBOOK", help="As `kt runbooks list` shows it.")
]


@app.command("list")
def list_runbooks(as_json: JsonOption = False) -> None:
    """Show the runbooks that are shipped."""
    found = [
        {"name": name, **{field: getattr(one, field) for field in one.__struct_fields__}}
        for name, one in runbooks().items()
    ]
    Output(json=as_json).result(found, lambda: listing(_COLUMNS, found))


@app.command("show")
def show(runbook: RunbookArgument) -> None:
    """Print one, to read it before it runs or to keep a copy."""
    Output().text(runbook_text(runbook_of(runbook)))


@app.command("run", context_settings={"ignore_unknown_options": True})
def run(
    context: typer.Context,
    runbook: RunbookArgument,
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[ARGUMENT]...", help="As its usage says.")
    ] = None,
    incident: Annotated[
        str, typer.Option(help="Note in this incident's timeline that it ran, and how it ended.")
    ] = "",
    dry_run: DryRunOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Run one here. Its exit code is that of this command."""
    known = runbook_of(runbook)
    words = [runbook, *(arguments or [])]
    _check(runbook, known)
    if dry_run:
        Output().say(f"would run: {shlex.join(words)}")
        return
    settings = program(context).settings(state=state, api_url=api_url)
    code = _run(known, arguments or [], dict(program(context).environ), settings)
    if incident:
        said = f"ran the runbook {shlex.join(words)}: exit code {code}"
        with Client(settings) as client:
            client.post(f"/v1/incidents/{incident}/timeline", {"text": said})
    raise typer.Exit(code)


def _check(name: str, runbook: Runbook) -> None:
    if not runbook.runs:
        raise InvalidInput(
            f"{name} is a configuration: `kt runbooks show {name} > FILE`, then "
            "`kt config apply --file FILE`"
        )
    if missing := [one for one in runbook.needs if shutil.which(one) is None]:
        raise InvalidInput(f"{name} needs programs that are not here: {', '.join(missing)}")


def _run(
    runbook: Runbook, arguments: list[str], environ: dict[str, str], settings: Settings
) -> int:
    environ = {**environ}
    for name, value in (("API_URL", settings.api_url), ("API_TOKEN", settings.api_token)):
        environ[f"KT_{name}"] = environ[name] = value
    environ["KEEPTRUSTS_API_URL"] = settings.api_url
    # The scripts call `kt`: the one that runs now, also where no environment is activated.
    folder = str(Path(sys.executable).parent)
    environ["PATH"] = os.pathsep.join(filter(None, (folder, environ.get("PATH", os.defpath))))
    with tempfile.TemporaryDirectory(prefix="kt-runbook-") as place:
        script = Path(place) / runbook.file
        script.write_text(runbook_text(runbook), "utf-8")
        # The script is ours, and its arguments are words of their own: nothing is parsed again.
        command = ["bash", str(script), *arguments]
        return subprocess.run(command, env=environ, check=False).returncode  # noqa: S603
