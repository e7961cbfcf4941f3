"""``kt trajectories``: finished conversations and agent runs as JSON lines."""

from __future__ import annotations

import os
import re
import tempfile
import zipfile
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from kintsugi.cli.export_job import ExportRequest, download, run_job
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.output import facts
from kintsugi.errors import InvalidInput

app = typer.Typer(help="Trajectories: finished conversations and agent runs, one JSON line each.")

FILES: Final = ("trajectory_samples.jsonl", "failed_trajectories.jsonl", "manifest.json")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@app.command("export")
@online
def export(
    kt: Invocation,
    output_dir: Annotated[
        Path, typer.Option("--output-dir", "-o", metavar="DIR", help="Where to write.")
    ],
    since: Annotated[str, typer.Option(help="Runs that ended since: 24h, 7d, or a time.")] = "24h",
    until: Annotated[str, typer.Option(help="Up to when, in the same forms.")] = "",
    session: Annotated[str, typer.Option(help="Session or conversation id.")] = "",
    trace: Annotated[str, typer.Option(help="W3C trace id.")] = "",
    agent: Annotated[str, typer.Option(help="Agent id.")] = "",
    workflow: Annotated[str, typer.Option(help="Workflow.")] = "",
    user: Annotated[str, typer.Option(help="User id.")] = "",
    team: Annotated[str, typer.Option(help="Team id.")] = "",
    tenant: Annotated[str, typer.Option(help="Tenant id.")] = "",
    gateway: Annotated[str, typer.Option(help="Gateway id.")] = "",
    idle: Annotated[
        str, typer.Option(help="A run is over when nothing came for so long: 90s, 30m, 2h.")
    ] = "30m",
    fail_on: Annotated[
        str,
        typer.Option(help="What makes a failure: any of outcome, verdict, tool, any-tool."),
    ] = "outcome,verdict,tool",
) -> None:
    """Write finished runs to DIR: successes in trajectory_samples.jsonl, failures in
    failed_trajectories.jsonl, and what was asked for in manifest.json."""
    told = {
        "since": since,
        "until": until,
        "session": session,
        "trace": trace,
        "agent": agent,
        "workflow": workflow,
        "user": user,
        "team": team,
        "tenant": tenant,
        "gateway": gateway,
    }
    request = ExportRequest(
        type="trajectories",
        format="zip",
        filter={name: value for name, value in told.items() if value},
        trajectories={
            "idle_seconds": _seconds(idle),
            "fail_on": [word.strip() for word in fail_on.split(",") if word.strip()],
        },
    )
    output_dir.mkdir(parents=True, exist_ok=True)
    with (
        kt.client() as client,
        tempfile.TemporaryDirectory(dir=output_dir, prefix=".kt-trajectories-") as folder,
    ):
        job = run_job(client, request, kt.output)
        archive = Path(folder, "archive.zip")
        download(client, job, archive, kt.output)
        manifest = _unpack(archive, Path(folder), output_dir)
    made = {
        "folder": str(output_dir),
        "successes": manifest.successes,
        "failures": manifest.failures,
        "unfinished": manifest.unfinished,
        "exchanges": manifest.exchanges,
        "export_id": job.id,
    }
    kt.output.result(made, lambda: facts(made.items()))


class _Manifest(msgspec.Struct):
    successes: int
    failures: int
    unfinished: int
    exchanges: int


def _unpack(archive: Path, folder: Path, target: Path) -> _Manifest:
    """Put the three files in place, each whole."""
    with zipfile.ZipFile(archive) as packed:
        for name in FILES:
            with packed.open(name) as source, Path(folder, name).open("wb") as copy:
                while piece := source.read(1 << 20):
                    copy.write(piece)
                copy.flush()
                os.fsync(copy.fileno())
    for name in FILES:
        Path(folder, name).replace(target / name)
    return msgspec.json.decode((target / "manifest.json").read_bytes(), type=_Manifest)


def _seconds(text: str) -> float:
    """Seconds of a length of time.

    Raises:
        InvalidInput: it is none.
    """
    found = re.fullmatch(r"(\d{1,9})([smhd])", text.strip())
    if found is None:
        raise InvalidInput(f'--idle: "{text}" is no length of time; use 90s, 30m, 2h or 1d')
    return float(found[1]) * _UNITS[found[2]]
