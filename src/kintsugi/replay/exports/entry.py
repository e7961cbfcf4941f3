"""What an export is made of, and what it says about itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from kintsugi.model.config import Case
from kintsugi.model.regression import Regression
from kintsugi.replay.yaml_text import stated


class About(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of a case besides its content. Foreign tools carry it as metadata.

    Attributes:
        regression: ``REG-000012``.
        incident: as people name it, ``INC-7``.
        parent: the case that a variant or twin belongs to.
        digest: of the content, as proofs and the log name it.
    """

    regression: str
    version: int
    incident: str
    config: str
    kind: str
    state: str
    digest: str
    technique: str = ""
    parent: str = ""


class Entry(msgspec.Struct, frozen=True):
    """One case to export.

    Attributes:
        lost: why its content cannot be had; empty where it is there.
        masked: what a person let in in spite of the gate is not in ``case``.
    """

    about: About
    case: Case
    lost: str = ""
    masked: bool = False

    @property
    def id(self) -> str:
        """What a loss report names it by."""
        return self.about.regression


class ExportedFile(msgspec.Struct, frozen=True):
    """One file of an export.

    Attributes:
        name: with ``/`` between folders.
    """

    name: str
    text: str


class Loss(msgspec.Struct, frozen=True):
    """One thing that a format cannot say, and the cases that lose it.

    Attributes:
        field: as in ``testing.suites``, or of ``metadata``: ``input.facts.counters.user``;
            ``case`` for all of it.
    """

    field: str
    why: str
    cases: tuple[str, ...]


class RegressionExport(msgspec.Struct, frozen=True):
    """Cases in the form of another tool.

    Attributes:
        cases: how many are in it.
        left_out: how many are not; ``losses`` says which and why.
    """

    files: tuple[ExportedFile, ...]
    cases: int
    left_out: int
    losses: tuple[Loss, ...]


class Losses:
    """A loss report in the making."""

    def __init__(self) -> None:
        self._cases: dict[tuple[str, str], dict[str, None]] = {}
        self.left_out = 0

    def add(self, entry: Entry, field: str, why: str) -> None:
        """Note what is lost of one case."""
        self._cases.setdefault((field, why), {})[entry.id] = None

    def leave_out(self, entry: Entry, why: str) -> None:
        """Note that a case is not in the export at all."""
        self.add(entry, "case", f"left out: {why}")
        self.left_out += 1

    def export(self, files: Iterable[ExportedFile], cases: int) -> RegressionExport:
        """The finished export; ``cases`` are in it."""
        losses = (Loss(*what, tuple(cases)) for what, cases in self._cases.items())
        return RegressionExport(tuple(files), cases, self.left_out, tuple(losses))


def entry_of(regression: Regression, incident: str) -> Entry:
    """A kept case, ready to be exported.

    Args:
        incident: how people name the incident that it is locked to.
    """
    about = About(
        regression=regression.id,
        version=regression.version,
        incident=incident,
        config=regression.config_id,
        kind=regression.kind,
        state=regression.state,
        digest=regression.digest,
        technique=regression.technique,
        parent=regression.parent,
    )
    return Entry(about, regression.case, regression.lost)


def fields_of(entry: Entry) -> dict[str, Any]:
    """Everything that a case states, by the name that a loss report calls it."""
    case = stated(entry.case)
    told = {f"metadata.{name}": value for name, value in stated(entry.about).items()}
    told |= {name: case[name] for name in ("name", "description", "skip") if name in case}
    sent = case["input"]
    facts = sent.pop("facts", {})
    for kind in ("counters", "remote"):
        told |= {f"input.facts.{kind}.{key}": one for key, one in facts.get(kind, {}).items()}
    headers = sent.pop("headers", {})
    told |= {f"input.headers.{name}": one for name, one in headers.items()}
    told |= {f"input.{name}": value for name, value in sent.items()}
    return told | {f"expected.{name}": value for name, value in case["expected"].items()}


def usable(entries: Sequence[Entry], losses: Losses, *, skipped: bool = False) -> list[Entry]:
    """The cases that have content, and that are to be run unless ``skipped`` keeps those too."""
    found = []
    for entry in entries:
        if entry.lost:
            losses.leave_out(entry, entry.lost)
        elif entry.case.skip and not skipped:
            losses.leave_out(entry, f"it is skipped: {entry.case.skip}")
        else:
            if entry.masked:
                losses.add(entry, "input", "what a person let in in spite of the gate is masked")
            found.append(entry)
    return found
