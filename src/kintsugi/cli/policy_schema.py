"""``kt policy schema``: the configuration file as a JSON Schema, for editors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kintsugi.cli.output import Output, json_text
from kintsugi.errors import InvalidInput


def schema(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write it there.", show_default=False),
    ] = None,
) -> None:
    """Print the JSON Schema (2020-12) of the configuration file, for editors.

    What kt init writes refers to the copy that stands beside it; write that one again after an
    update: kt policy schema --output policy-config.schema.json
    """
    text = schema_text()
    if output is None:
        Output().line(text)
        return
    try:
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{output}: {error.strerror or error}") from error
    Output().say(f"wrote {output}")


def schema_text() -> str:
    """The schema as JSON text."""
    from kintsugi.policy.json_schema import configuration_schema  # here: only this pays for it

    return json_text(configuration_schema())
