"""The rules of reporting clocks, from data files. Loaded once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

import msgspec
from ruamel.yaml import YAML

from kintsugi.errors import InvalidInput
from kintsugi.model.obligation import MomentKind, Unit

REMINDER: Final = "A reminder, not legal advice; confirm with counsel."


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One clock.

    Attributes:
        who: the role in which an organisation owes it.
        trigger: the question whose answer opens it.
        start: it runs from the earliest of these moments that somebody decided on; or
        after: from the submission of one of these reports.
        at_once: the text also says immediately, or without undue delay.
        incomplete: the law allows a report with gaps, and more later.
        repeats: when it is met the next one begins, until the incident is resolved.
        beats: which clocks do not run where this one does.
        enabled: whether an answer opens it; others are opened by name.
        zone: in which business days and months are counted.
        applies_from: None where it was in force when the rules were read, or is unknown.
        fields: of the superset of fields.
    """

    id: str
    regime: str
    article: str
    who: str
    trigger: str
    amount: int
    unit: Unit
    recipient: str
    legal_status: str
    source: str
    fields: tuple[str, ...]
    start: tuple[MomentKind, ...] = ()
    after: tuple[str, ...] = ()
    at_once: bool = False
    incomplete: bool = False
    repeats: bool = False
    beats: tuple[str, ...] = ()
    enabled: bool = True
    zone: str = "UTC"
    applies_from: date | None = None
    note: str = ""


class Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All rules, and when they were read.

    Attributes:
        verified_by: who checked them against the instruments; empty while nobody has.
        triggers: the questions, by name.
    """

    retrieved_on: date
    verified_by: str
    triggers: dict[str, str]
    rules: tuple[Rule, ...]


@cache
def catalogue() -> Catalogue:
    """The rules as they are shipped."""
    return msgspec.convert(_load("rules.yaml"), Catalogue)


@cache
def fields() -> Mapping[str, str]:
    """The superset of fields that reports ask for, with what each means."""
    return MappingProxyType(msgspec.convert(_load("fields.yaml"), dict[str, str]))


@cache
def _by_id() -> Mapping[str, Rule]:
    return MappingProxyType({rule.id: rule for rule in catalogue().rules})


def rule_of(rule_id: str) -> Rule:
    """One rule.

    Raises:
        InvalidInput: there is none with this id.
    """
    try:
        return _by_id()[rule_id]
    except KeyError:
        raise InvalidInput(
            f'there is no clock "{rule_id}"; `kt obligations rules` lists them'
        ) from None


def _load(name: str) -> Any:
    file = files("kintsugi.incidents").joinpath("data", "obligations", name)
    return YAML(typ="safe", pure=True).load(file.read_text("utf-8"))
