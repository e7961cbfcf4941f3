"""What callers see of regression cases."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from kintsugi.api.control import Control
from kintsugi.errors import NotFound
from kintsugi.model.regression import (
    CaseKind,
    CaseSource,
    CaseState,
    KeptSensitive,
    RedRun,
    Regression,
)
from kintsugi.replay.case_text import case_yaml
from kintsugi.replay.redaction_gate import without_kept


class RegressionView(msgspec.Struct, frozen=True):
    """A version of a case.

    Attributes:
        incident: how people name the incident that it is locked to.
        config_id: the configuration that it tests.
        case: what it sends and expects, as in ``testing.suites``; ``text`` is the same in YAML.
            Null, and the text empty, where nothing of it can be had or shown.
        masked: what a person let in in spite of the gate is not shown here; it takes a reveal.
        digest: of what it sends and expects, as proofs and the log name it.
        lost: why its content cannot be had.
    """

    id: str
    version: int
    kind: CaseKind
    state: CaseState
    incident_id: str
    incident: str
    config_id: str
    case: dict[str, Any] | None
    text: str
    masked: bool
    digest: str
    source: CaseSource
    created_at: datetime
    created_by: str
    changed: str
    changed_at: datetime
    changed_by: str
    reason: str
    technique: str
    parent: str
    redacted: dict[str, int]
    kept: tuple[KeptSensitive, ...]
    original_chars: int | None
    minimised_chars: int | None
    replaced_by: str
    red: RedRun | None
    lost: str


def view_of(one: Regression, reference: str, *, unmasked: bool = False) -> RegressionView:
    """A version as it is shown.

    Args:
        unmasked: with what the gate found and a person kept.
    """
    masked = bool(one.kept) and not unmasked and not one.lost
    case = without_kept(one.case, (kept.finding for kept in one.kept)) if masked else one.case
    if one.lost:
        case = None
    return RegressionView(
        id=one.id,
        version=one.version,
        kind=one.kind,
        state=one.state,
        incident_id=one.incident_id,
        incident=reference,
        config_id=one.config_id,
        case=None if case is None else msgspec.to_builtins(case),
        text="" if case is None else case_yaml(case, suite=one.id or "regressions"),
        masked=masked,
        digest=one.digest,
        source=one.source,
        created_at=one.created_at,
        created_by=one.created_by,
        changed=one.changed,
        changed_at=one.changed_at,
        changed_by=one.changed_by,
        reason=one.reason,
        technique=one.technique,
        parent=one.parent,
        redacted=one.redacted,
        kept=one.kept,
        original_chars=one.original_chars,
        minimised_chars=one.minimised_chars,
        replaced_by=one.replaced_by,
        red=one.red,
        lost=one.lost,
    )


def views_of(control: Control, found: Iterable[Regression]) -> list[RegressionView]:
    """The same of several, each incident looked up once."""
    references: dict[str, str] = {}
    views = []
    for one in found:
        if one.incident_id not in references:
            references[one.incident_id] = reference_of(control, one)
        views.append(view_of(one, references[one.incident_id]))
    return views


def reference_of(control: Control, one: Regression) -> str:
    """What people call the incident of a case; empty where that was lost with another database."""
    try:
        return control.stores.incidents.get(one.incident_id).reference
    except NotFound:
        if one.lost:
            return ""
        raise
