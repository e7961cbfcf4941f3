"""Named SQL statements, kept as prose in ``queries/*.sql``.

A statement begins with ``-- name: what_it_does`` and ends at the next one; the comment lines below
the name say what it is for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

_NAME = re.compile(r"^-- name: ([a-z_]+)$", re.MULTILINE)


def load_statements(file: str) -> Mapping[str, bytes]:
    """The statements of ``queries/FILE.sql`` by name."""
    text = files("kintsugi.store").joinpath("queries", f"{file}.sql").read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    names, bodies = parts[::2], parts[1::2]
    if len(set(names)) != len(names):
        raise ValueError(f"a name stands twice in {file}.sql")
    return MappingProxyType(
        {name: body.strip().encode() for name, body in zip(names, bodies, strict=True)}
    )
