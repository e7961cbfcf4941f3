"""``kt policy graph``: the way of an exchange through a configuration."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from kintsugi.cli.output import Output, json_text
from kintsugi.policy.parse import DEFAULT_FILE, parse_config
from kintsugi.replay.sources import read_source

GraphFormat = Literal["mermaid", "dot", "json"]


def graph(
    file: Annotated[
        str, typer.Option("--file", "-f", metavar="FILE", help="Configuration; - reads stdin.")
    ] = DEFAULT_FILE,
    as_json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
    file_format: Annotated[
        GraphFormat, typer.Option("--format", help="mermaid for Markdown, dot for Graphviz.")
    ] = "mermaid",
) -> None:
    """Draw the way of an exchange: phases, policies, what they do, and targets.

    Relaxed policies are dashed and say who answers for them. Exit codes: 0 drawn, 2 the file
    cannot be read, 3 it has errors.
    """
    from kintsugi.policy import graph as drawing  # here: only this pays for it

    source = sys.stdin.buffer.read() if file == "-" else read_source(Path(file))
    found = drawing.graph_of(parse_config(source, file="<stdin>" if file == "-" else file))
    if as_json or file_format == "json":
        Output().line(json_text(found))
    else:
        draw = drawing.mermaid if file_format == "mermaid" else drawing.dot
        Output().text(draw(found) + "\n")
