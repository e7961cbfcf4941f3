"""``kt policy new-rule``: a new kind of policy, for contributors to this program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kintsugi.cli.options import JsonOption
from kintsugi.cli.output import Output
from kintsugi.errors import InvalidInput


def new_rule(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the kind, such as topic-guard.")],
    directory: Annotated[
        Path, typer.Option("--directory", "-d", metavar="DIR", help="The program's checkout.")
    ] = Path(),
    as_json: JsonOption = False,
) -> None:
    """Write the folder of a new kind of policy, its test, and where it is registered.

    For contributors: it needs the program's sources. What it writes passes every check at once.
    """
    from kintsugi.policy.new_rule import (  # here: only this pays for it
        REGISTERED_IN,
        check_name,
        new_files,
        registered,
    )
    from kintsugi.policy.rules import KINDS

    check_name(name, KINDS)
    try:
        sources = {path: (directory / path).read_text(encoding="utf-8") for path in REGISTERED_IN}
    except OSError as error:
        raise InvalidInput(
            f"{error.filename}: {error.strerror or error}; run this in a checkout of Kintsugi, "
            "or name one with --directory"
        ) from error
    files = new_files(name)
    existing = [path for path in files if (directory / path).exists()]
    if existing:
        raise InvalidInput(f"{', '.join(existing)} exists; remove it or choose another name")
    for path, content in (files | registered(name, sources)).items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")
    output = Output(json=as_json)
    result = {"kind": name, "files": list(files), "registered_in": list(REGISTERED_IN)}
    output.result(result, lambda: "\n".join(f"wrote {path}" for path in (*files, *REGISTERED_IN)))
    output.say(f"next: .venv/bin/python -m pytest tests/policy -k {name.replace('-', '_')}")
