"""Categories of our own, and the labels of public taxonomies, as data with source and date.

A label is ``TAXONOMY:ID``; a taxonomy is pinned to the edition that was read. Loaded once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

import msgspec
from ruamel.yaml import YAML

from kintsugi.errors import InvalidInput

# Seed 002, "Define AI incidents before they define you".
CATEGORIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "correctness": "wrong, misleading or inconsistent answers that affect decisions",
        "safety_and_content": "content that breaks the rules: hate, self-harm, illegal acts",
        "security_and_data_leakage": "data revealed that should not be, or what helps attackers",
        "autonomy_and_action": "an agent did something in another system that policy forbids",
        "fairness_and_discrimination": "certain groups systematically get worse outcomes",
    }
)


class Label(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of a taxonomy; ``group`` is its domain, tactic or level there."""

    id: str
    name: str
    group: str = ""


class Taxonomy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A public list.

    Attributes:
        id: as it stands before the colon of a label.
        source: where it was read.
        note: what is left out, and how far it was checked.
    """

    id: str
    title: str
    edition: str
    source: str
    retrieved_on: date
    note: str
    labels: tuple[Label, ...]


@cache
def taxonomies() -> Mapping[str, Taxonomy]:
    """Every taxonomy by its id."""
    folder = files("kintsugi.incidents").joinpath("data", "taxonomies")
    found = [
        msgspec.convert(YAML(typ="safe", pure=True).load(file.read_text("utf-8")), Taxonomy)
        for file in sorted(folder.iterdir(), key=lambda one: one.name)
        if file.name.endswith(".yaml")
    ]
    return MappingProxyType({one.id: one for one in found})


def known_label(text: str) -> Label:
    """The label that ``TAXONOMY:ID`` names.

    Raises:
        InvalidInput: there is none.
    """
    name, _, identifier = text.partition(":")
    taxonomy = taxonomies().get(name)
    if taxonomy is None:
        known = ", ".join(taxonomies())
        raise InvalidInput(f'labels: "{text}" names no taxonomy; write one of {known}, a colon, id')
    for label in taxonomy.labels:
        if label.id == identifier:
            return label
    raise InvalidInput(f'labels: {taxonomy.title} {taxonomy.edition} has no "{identifier}"')
