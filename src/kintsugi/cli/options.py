"""Options that many commands share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON; the default when stdout is no terminal.")
]
StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        help="State folder; default KT_STATE_DIR, else the platform's data folder.",
        show_default=False,
    ),
]
ApiUrlOption = Annotated[
    str | None,
    typer.Option(
        "--api-url",
        metavar="URL",
        help="Control plane; default KT_API_URL, else the one that runs on the state folder.",
        show_default=False,
    ),
]
LimitOption = Annotated[int, typer.Option("--limit", min=1, help="At most so many rows.")]
WithParentOption = Annotated[
    # For `kt up`: its parts must not outlive it, however it dies. It keeps the other end of
    # their standard input, and the kernel closes that end in every case.
    bool,
    typer.Option("--with-parent", hidden=True, help="Stop when standard input closes."),
]
