"""``kt gateway run``: a gateway alone, from a file, or with a control plane to follow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from kintsugi.cli.options import StateOption, WithParentOption
from kintsugi.cli.parts import Address, GatewayStart, program
from kintsugi.cli.ports import listening

app = typer.Typer(help="Run a gateway.", no_args_is_help=True)


@app.callback()
def gateway() -> None:
    """Run a gateway."""


@app.command("run")
def run(
    context: typer.Context,
    policy_config: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Configuration to run until the control plane has one."),
    ],
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where applications send requests.")
    ] = "127.0.0.1:41002",
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0: one for each core.")] = 0,
    api_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Control plane to follow; default KT_API_URL; without one the file alone counts.",
            show_default=False,
        ),
    ] = None,
    state: StateOption = None,
    simulator_url: Annotated[
        str, typer.Option(metavar="URL", help="Where targets with provider `simulator` are.")
    ] = "",
    journal_days: Annotated[
        int,
        typer.Option(min=0, help="Without a control plane: how long journals are kept; 0: ever."),
    ] = 0,
    journal_gigabytes: Annotated[
        int,
        typer.Option(min=0, help="Without a control plane: how much is kept; 0: everything."),
    ] = 0,
    with_parent: WithParentOption = False,
) -> None:
    """Run a gateway until SIGTERM; SIGHUP reads the file again."""
    here = program(context)
    settings = here.settings(state=state, api_url=api_url)
    follows = api_url or here.environ.get("KT_API_URL") or here.environ.get("KEEPTRUSTS_API_URL")
    if follows and (journal_days or journal_gigabytes):
        raise typer.BadParameter(
            "--journal-days and --journal-gigabytes are for a gateway without a control plane; "
            "with one, journals are trimmed of what has arrived there, and of nothing else"
        )
    start = GatewayStart(
        policy_config=policy_config,
        listen=Address.parse(listen),
        workers=workers or core_count(),
        api_url=settings.api_url if follows else "",
        # Empty: the gateway reads STATE/gateway-token, which may be written after it started.
        api_token=here.environ.get("KT_API_TOKEN", ""),
        state=settings.state,
        simulator_url=simulator_url,
        with_parent=with_parent,
        journal_days_max=journal_days,
        journal_bytes_max=journal_gigabytes * 1_000_000_000,
    )
    with listening(start.listen, "gateway"):
        raise typer.Exit(here.parts.run_gateway(start))


def core_count() -> int:
    """Cores that this process may use, container limits of CPU sets included."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
