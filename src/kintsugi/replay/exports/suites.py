"""As ``testing.suites``: what ``kt policy test`` and ``kt policy lint`` read beside a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from kintsugi.model.harmless import json_text
from kintsugi.policy.document import BYTES_MAX, NODES_MAX
from kintsugi.replay.exports.entry import Entry, ExportedFile, Losses, RegressionExport, usable
from kintsugi.replay.yaml_text import stated, yaml_text

_WORDS: Final = {"case": "cases", "variant": "variants", "twin": "benign twins"}
# The name says these: in a suite's, or before the case's own.
_IN_NAMES: Final = frozenset({"regression", "incident", "kind"})
# The reader takes longer whole numbers for decimal ones.
_INTEGER_MAX: Final = 10**18 - 1
# Block YAML is longer than the JSON that it is measured by, and has more nodes than commas.
_SHARE: Final = 4


def export(entries: Sequence[Entry]) -> RegressionExport:
    """One suite for the cases of an incident, and one each for variants and twins; as many files
    as the reader's limits want."""
    losses = Losses()
    kept = []
    for entry in usable(entries, losses, skipped=True):
        if _has_long_integer(stated(entry.case)):
            losses.leave_out(entry, "a whole number in it has more than 18 digits")
            continue
        kept.append(entry)
        for name in stated(entry.about):
            if name not in _IN_NAMES:
                losses.add(entry, f"metadata.{name}", "a case has no place for it")
    documents = [yaml_text({"testing": {"suites": _suites(part)}}) for part in _parts(kept)]
    names = ["regressions.yaml"]
    if len(documents) > 1:
        names = [f"regressions-{number:03}.yaml" for number in range(1, len(documents) + 1)]
    files = [ExportedFile(*file) for file in zip(names, documents, strict=False)]
    return losses.export(files, len(kept))


def _suites(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    suites: dict[str, list[Entry]] = {}
    for entry in entries:
        name = f"{entry.about.incident} {_WORDS[entry.about.kind]}"
        suites.setdefault(name, []).append(entry)
    return [
        {"name": name, "cases": [_case(entry) for entry in cases]} for name, cases in suites.items()
    ]


def _case(entry: Entry) -> dict[str, Any]:
    case: dict[str, Any] = stated(entry.case)
    return case | {"name": f"{entry.id} {entry.case.name}"}


def _parts(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    part: list[Entry] = []
    size = nodes = 0
    for entry in entries:
        text = json_text(stated(entry.case), indent=0)
        size += len(text.encode()) * _SHARE
        nodes += (text.count(",") + text.count(":")) * _SHARE
        if part and (size > BYTES_MAX or nodes > NODES_MAX):
            yield part
            part, size, nodes = [], 0, 0
        part.append(entry)
    if part:
        yield part


def _has_long_integer(value: Any) -> bool:
    match value:
        case dict():
            return any(map(_has_long_integer, value.values()))
        case list():
            return any(map(_has_long_integer, value))
        case bool():
            return False
        case int():
            return abs(value) > _INTEGER_MAX
        case _:
            return False
