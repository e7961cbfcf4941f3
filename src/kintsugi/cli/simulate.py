"""``kt simulate``: a scripted model provider, so that nothing needs a key or a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kintsugi.cli.options import WithParentOption
from kintsugi.cli.parts import Address, SimulatorStart, program
from kintsugi.cli.ports import listening


def simulate(
    context: typer.Context,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where it answers; port 0: any free.")
    ] = "127.0.0.1:41003",
    script: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What to answer to what; without one, model sim-echo repeats the last message.",
            show_default=False,
        ),
    ] = None,
    with_parent: WithParentOption = False,
) -> None:
    """Run a scripted provider that speaks every dialect of the gateway."""
    start = SimulatorStart(listen=Address.parse(listen), script=script, with_parent=with_parent)
    with listening(start.listen, "simulator"):
        raise typer.Exit(program(context).parts.run_simulator(start))
