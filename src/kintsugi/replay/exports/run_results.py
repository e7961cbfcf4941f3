"""What became of the cases on one configuration, as JUnit, TAP or SARIF."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from kintsugi.model.config import Config, Position
from kintsugi.model.harmless import one_line
from kintsugi.replay.case_runner import run_cases
from kintsugi.replay.exports.entry import (
    Entry,
    ExportedFile,
    Losses,
    RegressionExport,
    fields_of,
    usable,
)
from kintsugi.replay.reports import RUN_FORMATS
from kintsugi.replay.results import CaseOutcome
from kintsugi.replay.sources import Located

ResultFormat = Literal["junit", "tap", "sarif"]

_NAMES: Final = {"junit": "regressions.xml", "tap": "regressions.tap", "sarif": "regressions.sarif"}
_BAD: Final = frozenset({CaseOutcome.FAIL, CaseOutcome.ERROR})
# The suite is the incident, and the name begins with the case's id.
_IN_NAMES: Final = frozenset({"metadata.regression", "metadata.incident"})


def export(entries: Sequence[Entry], config: Config, written: ResultFormat) -> RegressionExport:
    """Run the cases, and write down how they ended.

    Raises:
        ConfigurationInvalid: the configuration does not compile.
    """
    losses = Losses()
    kept = usable(entries, losses, skipped=True)
    report = run_cases(config, [_located(entry, config) for entry in kept])
    for entry, result in zip(kept, report.results, strict=True):
        if written == "sarif" and result.outcome not in _BAD:
            losses.leave_out(entry, "a finding is only what failed or could not run")
            continue
        shown = {"name": result.id, "skip": entry.case.skip}
        for field in fields_of(entry):
            text = shown.get(field)
            if field in _IN_NAMES:
                continue
            if text is None:
                losses.add(entry, field, "a result says how a case ended, not what it is")
            elif one_line(text) != text:
                losses.add(entry, field, "it is shown on one line, cut to 120 characters")
    text = RUN_FORMATS[written](report)
    in_it = len(entries) - losses.left_out
    return losses.export([ExportedFile(_NAMES[written], f"{text}\n")], in_it)


def _located(entry: Entry, config: Config) -> Located:
    named = msgspec.structs.replace(entry.case, name=f"{entry.id} {entry.case.name}")
    return Located(entry.about.incident, named, config.file, Position())
