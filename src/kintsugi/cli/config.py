"""``kt config``: versioned configurations, put in force and proven to be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from kintsugi.cli.client import Client
from kintsugi.cli.in_force import Rollout, wait_until_in_force
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.output import Output, facts, harmless, listing
from kintsugi.errors import ApiRefused, Blocked, ConfigurationInvalid, InvalidInput

app = typer.Typer(help="Configurations and their versions.", no_args_is_help=True)

IdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="Configuration, as `kt config list` shows it.")
]
NoteOption = Annotated[str, typer.Option(help="What changes and why; kept with the version.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Check and show the difference; change nothing.")
]
TimeoutOption = Annotated[
    float, typer.Option(min=0.0, help="Seconds to wait until it is in force; 0: do not wait.")
]

_VERSION_COLUMNS = ("id", "version", "pack_version", "revision", "author", "note", "created_at")


@app.command("list")
@online
def list_configurations(kt: Invocation) -> None:
    """Show every configuration with its newest version."""
    with kt.client() as client:
        _show_versions(kt.output, client, "/v1/configurations")


@app.command("versions")
@online
def versions(kt: Invocation, config_id: IdArgument) -> None:
    """Show all versions of one configuration, newest first."""
    with kt.client() as client:
        _show_versions(kt.output, client, f"/v1/configurations/{config_id}/versions")


@app.command("show")
@online
def show(
    kt: Invocation,
    config_id: IdArgument,
    version: Annotated[int | None, typer.Argument(help="Default: the newest.")] = None,
) -> None:
    """Print a configuration's YAML, or with --json everything about the version.

    The YAML goes to stdout as it is, so that `kt config show ID > FILE` gives the file back.
    """
    with kt.client() as client:
        found = _version(client, config_id, version)
    if kt.as_json:
        kt.output.result(found, lambda: facts(found.items()))
    else:
        kt.output.text(found["content"])


@app.command("diff")
@online
def diff(
    kt: Invocation,
    config_id: IdArgument,
    older: Annotated[int, typer.Argument(metavar="FROM", help="A version.")],
    newer: Annotated[
        int | None, typer.Argument(metavar="TO", help="A version; default: the newest.")
    ] = None,
) -> None:
    """Show what changed between two versions."""
    with kt.client() as client:
        to = (
            newer if newer is not None else client.get(f"/v1/configurations/{config_id}")["version"]
        )
        found = client.get(f"/v1/configurations/{config_id}/diff", {"from": older, "to": to})
    kt.output.result(found, lambda: harmless(found["diff"]) or "no difference")


@app.command("apply")
@online
def apply(
    kt: Invocation,
    file: Annotated[Path, typer.Option("--file", "-f", help="The configuration.", exists=True)],
    config_id: Annotated[
        str, typer.Option("--id", help="Configuration to change; default: the file's pack.id.")
    ] = "",
    note: NoteOption = "",
    dry_run: DryRunOption = False,
    timeout: TimeoutOption = 10.0,
) -> None:
    """Make a new version and wait until every connected gateway runs it.

    Exit code 3 when the file has errors, or regression cases of closed incidents that bind it do
    not hold on it; nothing is changed then.
    """
    content = _read(file)
    with kt.client() as client:
        path = f"/v1/configurations/{config_id or _pack_id(content, file)}"
        body = {"content": content, "note": note}
        made = _checked(lambda: client.put(path, body, dry_run=dry_run))
        _report(client, made, timeout, kt.output)


@app.command("rollback")
@online
def rollback(
    kt: Invocation,
    config_id: IdArgument,
    version: Annotated[int, typer.Argument(help="The version whose content comes back.")],
    note: NoteOption = "",
    dry_run: DryRunOption = False,
    timeout: TimeoutOption = 10.0,
) -> None:
    """Make an earlier version's content the newest one; history stays as it was."""
    with kt.client() as client:
        path = f"/v1/configurations/{config_id}/rollback"
        body = {"version": version, "note": note}
        made = _checked(lambda: client.post(path, body, dry_run=dry_run))
        _report(client, made, timeout, kt.output)


def _checked(change: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Make a change; a configuration with errors, or on which regression cases do not hold, is
    what was checked, not a failed tool."""
    try:
        return change()
    except ApiRefused as error:
        if error.problem_code in (ConfigurationInvalid.code, Blocked.code):
            raise ConfigurationInvalid(str(error)) from error
        raise


def _report(client: Client, made: dict[str, Any], timeout: float, output: Output) -> None:
    """Say what became of a change, once it is in force or time is up."""
    if made["dry_run"]:
        output.result(made, lambda: harmless(made["diff"]) or "no difference: nothing to create")
        return
    rollout = wait_until_in_force(client, made["id"], made["version"], timeout_seconds=timeout)
    kept = ("id", "version", "created", "revision", "author", "note")
    result = {key: made[key] for key in kept} | rollout.as_json()
    output.result(result, lambda: harmless(_told(made, rollout)))
    if timeout and not rollout.complete:
        raise typer.Exit(1)


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"


def _told(made: dict[str, Any], rollout: Rollout) -> str:
    lines = [
        f"{made['id']}@{made['version']} "
        + ("created" if made["created"] else "is the newest already")
    ]
    if rollout.in_force:
        lines.append(
            f"in force on {', '.join(rollout.in_force)} ({_workers(rollout.worker_count)}) "
            f"after {rollout.seconds:.2f} s"
        )
    elif rollout.complete:
        lines.append("no connected gateway follows this configuration")
    lines += [f"not in force on {gateway}: {why}" for gateway, why in rollout.missing.items()]
    lines += [f"not attempted on {gateway}: {why}" for gateway, why in rollout.away.items()]
    return "\n".join(lines)


def _version(client: Client, config_id: str, version: int | None) -> dict[str, Any]:
    if version is None:
        found: dict[str, Any] = client.get(f"/v1/configurations/{config_id}")
    else:
        found = client.get(f"/v1/configurations/{config_id}/versions/{version}")
    return found


def _show_versions(output: Output, client: Client, path: str) -> None:
    found = client.get(path)
    output.result(found, lambda: listing(_VERSION_COLUMNS, found))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file}: {error}") from error


def _pack_id(content: str, file: Path) -> str:
    from kintsugi.policy.parse import parse_config  # here: the other commands need no parser

    return parse_config(content, file=str(file)).id
