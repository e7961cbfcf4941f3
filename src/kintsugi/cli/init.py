"""``kt init``: a configuration with tests that pass, to start from."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

import typer

from kintsugi.cli.options import JsonOption
from kintsugi.cli.output import Output
from kintsugi.cli.policy_schema import schema_text
from kintsugi.errors import InvalidInput
from kintsugi.policy.diagnostics import nearest
from kintsugi.policy.json_schema import SCHEMA_FILE

DEFAULT_TEMPLATE = "starter"
# What a template relaxes ends, once written, the day after: templates themselves have no date.
_NO_DATE = b"9999-12-31"
_RELAXED_FOR = timedelta(days=1)


def init(
    template: Annotated[
        str, typer.Option(metavar="NAME", help="Which one; --list shows them.")
    ] = DEFAULT_TEMPLATE,
    directory: Annotated[
        Path, typer.Option("--directory", "-d", metavar="DIR", help="Where; made if missing.")
    ] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that exist.")] = False,
    show_list: Annotated[bool, typer.Option("--list", help="Only list the templates.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write policy-config.yaml, tests that pass, and the JSON Schema for your editor.

    Nothing is overwritten without --force, and then nothing else is removed.
    """
    output = Output(json=as_json)
    if show_list:
        known = templates()
        output.result(known, lambda: "\n".join(known))
        return
    today = datetime.now(UTC).date()
    written = [str(p) for p in write_template(template, directory, force=force, today=today)]
    result = {"template": template, "directory": str(directory), "files": written}
    output.result(result, lambda: "\n".join(f"wrote {path}" for path in written))
    where = "" if directory == Path() else f" --pack-dir {directory}"
    output.say(f"next: kt policy test{where}")


def templates() -> list[str]:
    """Names of all templates."""
    return sorted(folder.name for folder in _root().iterdir() if folder.is_dir())


def write_template(name: str, directory: Path, *, force: bool, today: date) -> list[Path]:
    """Write a template's files; the paths written.

    What it relaxes ends the day after ``today``.

    Raises:
        InvalidInput: there is no such template, a file exists and ``force`` is off, or the
            folder cannot be written.
    """
    known = templates()
    if name not in known:
        near = nearest(name, known)
        hint = f'; did you mean "{near}"?' if near else ""
        raise InvalidInput(f'no template "{name}"{hint} Templates: {", ".join(known)}')
    tomorrow = (today + _RELAXED_FOR).isoformat().encode()
    contents = {
        directory / path: source.read_bytes().replace(_NO_DATE, tomorrow)
        for path, source in _files(_root() / name, Path())
    }
    contents[directory / SCHEMA_FILE] = f"{schema_text()}\n".encode()
    existing = [str(path) for path in contents if path.exists()]
    if existing and not force:
        raise InvalidInput(f"{', '.join(existing)} exists; --force overwrites it")
    try:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except OSError as error:
        raise InvalidInput(f"{error.filename or directory}: {error.strerror or error}") from error
    return list(contents)


def _root() -> Traversable:
    return files("kintsugi.policy") / "templates"


def _files(folder: Traversable, path: Path) -> Iterator[tuple[Path, Traversable]]:
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.is_dir():
            yield from _files(item, path / item.name)
        elif item.name.endswith((".yaml", ".json")):
            yield path / item.name, item
