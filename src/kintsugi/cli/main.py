"""``kt``: every command, loaded when it is used, and the one place where errors become words."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from kintsugi import __version__
from kintsugi.cli.output import drop_stdout, report_error
from kintsugi.cli.parts import Parts, Program
from kintsugi.errors import (
    ApiRefused,
    ApiUnreachable,
    ConfigurationInvalid,
    DatabaseUnusable,
    InvalidInput,
    KintsugiError,
    ProofInvalid,
    StoreUnavailable,
)

EXIT_OK = 0
EXIT_FAILED = 1  # the tool could not run
EXIT_USAGE = 2
EXIT_WRONG = 3  # it ran, and the thing that it checked is wrong


class Entry(NamedTuple):
    """Where a command lives: a function, or a ``typer.Typer`` with commands of its own.

    Attributes:
        takes_dashes: what begins with a dash and is no option is an argument, as in SQL that
            begins with a comment.
    """

    module: str
    name: str
    panel: str
    takes_dashes: bool = False


_RUN = "Run"
_LOOK = "Look"
_CHANGE = "Change"
_KEEP = "Keep"

COMMANDS: Mapping[str, Entry] = {
    "up": Entry("up", "up", _RUN),
    "down": Entry("status", "down", _RUN),
    "status": Entry("status", "status", _RUN),
    "gateway": Entry("gateway", "app", _RUN),
    "server": Entry("server", "app", _RUN),
    "simulate": Entry("simulate", "simulate", _RUN),
    "doctor": Entry("doctor", "doctor", _RUN),
    "demo": Entry("demo.command", "demo", _RUN),
    "init": Entry("init", "init", _CHANGE),
    "policy": Entry("policy", "app", _CHANGE),
    "reasons": Entry("reasons", "reasons", _CHANGE),
    "config": Entry("config", "app", _CHANGE),
    "events": Entry("events", "app", _LOOK),
    "trace": Entry("trace", "app", _LOOK),
    "replay": Entry("replay", "replay", _LOOK),
    "prove": Entry("prove", "prove", _CHANGE),
    "proofs": Entry("prove", "app", _LOOK),
    "sql": Entry("sql", "sql", _LOOK, takes_dashes=True),
    "gateways": Entry("gateways", "app", _LOOK),
    "signals": Entry("signals", "app", _LOOK),
    "deployments": Entry("deployments", "app", _LOOK),
    "notices": Entry("notices", "app", _LOOK),
    "webhooks": Entry("webhooks", "app", _KEEP),
    "channels": Entry("channels", "app", _KEEP),
    "workflows": Entry("workflows", "app", _CHANGE),
    "reports": Entry("intake", "app", _CHANGE),
    "incidents": Entry("incidents", "app", _CHANGE),
    "actions": Entry("incident_actions", "app", _CHANGE),
    "playbooks": Entry("playbooks", "app", _CHANGE),
    "runbooks": Entry("runbooks", "app", _CHANGE),
    "kpis": Entry("kpis", "kpis", _LOOK),
    "communications": Entry("communications", "app", _CHANGE),
    "obligations": Entry("obligations", "app", _CHANGE),
    "regressions": Entry("regressions", "app", _CHANGE),
    "escalations": Entry("escalations", "app", _CHANGE),
    "quarantine": Entry("quarantine", "app", _CHANGE),
    "trajectories": Entry("trajectories", "app", _KEEP),
    "contain": Entry("containments", "contain", _CHANGE),
    "release": Entry("containments", "release", _CHANGE),
    "containments": Entry("containments", "app", _CHANGE),
    "exports": Entry("exports", "app", _KEEP),
    "evidence": Entry("evidence", "app", _KEEP),
    "verify": Entry("verify", "verify", _KEEP),
    "log": Entry("log", "app", _KEEP),
    "journal": Entry("journal", "app", _KEEP),
    "hold": Entry("hold", "app", _KEEP),
    "retention": Entry("retention", "app", _KEEP),
    "custody": Entry("custody", "app", _KEEP),
    "audit": Entry("audit", "app", _KEEP),
    "erase": Entry("erase", "erase", _KEEP),
    "keys": Entry("keys", "app", _KEEP),
    "archive": Entry("archives", "app", _KEEP),
    "backup": Entry("backup", "backup", _KEEP),
    "restore": Entry("backup", "restore", _KEEP),
    "users": Entry("users", "app", _KEEP),
    "tokens": Entry("tokens", "app", _KEEP),
}


class LazyCommands(TyperGroup):
    """Imports a command's module when the command is asked for.

    ``kt policy lint`` runs in commit hooks and editors; it must not pay for the HTTP client that
    ``kt events`` needs.
    """

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the base class's signature
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        target = getattr(import_module(f"kintsugi.cli.{entry.module}"), entry.name)
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        if isinstance(target, typer.Typer):
            single.add_typer(target, name=cmd_name, rich_help_panel=entry.panel)
        else:
            settings = {"ignore_unknown_options": True} if entry.takes_dashes else None
            single.command(cmd_name, rich_help_panel=entry.panel, context_settings=settings)(target)
            single.callback()(_nothing)
        return typer.main.get_group(single).get_command(ctx, cmd_name)


def _nothing() -> None:
    """Keeps a Typer with one command a group."""


app = typer.Typer(
    cls=LazyCommands,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"kt {__version__}\n")
        raise typer.Exit(EXIT_OK)


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version."),
    ] = False,
) -> None:
    """Kintsugi: a policy gateway for AI systems, with evidence that survives.

    Start with `kt up`, then send a request as it prints.
    """


def run(parts: Parts, environ: Mapping[str, str], arguments: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code."""
    debug = environ.get("KT_DEBUG", "") not in ("", "0")
    try:
        typer.main.get_command(app)(
            args=None if arguments is None else list(arguments),
            prog_name="kt",
            obj=Program(parts, dict(environ)),
        )
    except SystemExit as leaving:
        return _code_of(leaving)
    except BrokenPipeError:
        drop_stdout()
        return EXIT_OK
    except KeyboardInterrupt:
        return 130  # 128 + SIGINT, as shells count
    except KintsugiError as error:
        if debug:
            traceback.print_exc()
        report_error(str(error), next_step=next_step(error))
        return exit_code(error)
    except (
        OSError
    ) as error:  # a disk that is full, an address that is not ours: its own words say it
        if debug:
            traceback.print_exc()
        report_error(str(error), next_step="ask `kt doctor`")
        return EXIT_FAILED
    except Exception as error:  # noqa: BLE001 - the outer edge: a person gets words, not a trace
        if debug:
            traceback.print_exc()
        report_error(
            f"unforeseen: {type(error).__name__}: {error}",
            next_step="run it again with KT_DEBUG=1 and report what it prints",
        )
        return EXIT_FAILED
    return EXIT_OK


def exit_code(error: KintsugiError) -> int:
    """The exit code for a named error (CONTRACT §2)."""
    match error:
        case ConfigurationInvalid() | ProofInvalid() | ApiRefused(problem_code="proof.invalid"):
            return EXIT_WRONG
        case InvalidInput() | ApiRefused(status=422):
            return EXIT_USAGE
        case _:
            return EXIT_FAILED


def next_step(error: KintsugiError) -> str:
    """What the person can do about it; empty when the message says so itself."""
    match error:
        case ApiUnreachable():
            return (
                "start one with `kt up`, name another with --api-url or KT_API_URL, or ask "
                "`kt doctor`"
            )
        case ApiRefused(status=401):
            return "set KT_API_TOKEN, or name the state folder of this machine's server (--state)"
        case ApiRefused(status=403):
            return "use a token with that scope; `kt tokens create --scope ...` makes one"
        case DatabaseUnusable() | StoreUnavailable():
            return "see what `kt doctor` says about the database"
        case _:
            return ""


def _code_of(leaving: SystemExit) -> int:
    if leaving.code is None:
        return EXIT_OK
    if isinstance(leaving.code, int):
        return leaving.code
    os.write(2, f"{leaving.code}\n".encode())
    return EXIT_FAILED
