"""Runbooks: the scripts of the founding documents, shipped with the program."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import msgspec
from ruamel.yaml import YAML

from kintsugi.errors import NotFound


class Runbook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One script, or a configuration to apply.

    Attributes:
        when: it is the thing to reach for.
        arguments: how it is called.
        needs: programs that have to be there.
    """

    file: str
    title: str
    when: str
    arguments: str
    needs: tuple[str, ...]

    @property
    def runs(self) -> bool:
        """Whether it is a script."""
        return self.file.endswith(".sh")


@cache
def runbooks() -> Mapping[str, Runbook]:
    """All of them, by name."""
    found: Any = YAML(typ="safe", pure=True).load(_text("index.yaml"))
    return MappingProxyType(msgspec.convert(found, dict[str, Runbook]))


def runbook_of(name: str) -> Runbook:
    """One of them.

    Raises:
        NotFound: there is none with this name.
    """
    try:
        return runbooks()[name]
    except KeyError:
        known = ", ".join(runbooks())
        raise NotFound(f'there is no runbook "{name}"; known: {known}') from None


def runbook_text(runbook: Runbook) -> str:
    """What it says."""
    return _text(runbook.file)


def _text(name: str) -> str:
    return files("kintsugi.incidents").joinpath("data", "runbooks", name).read_text("utf-8")
