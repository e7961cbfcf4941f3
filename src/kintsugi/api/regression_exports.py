"""``/v1/regressions/export``: regression cases in the forms of other tools."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Final, Literal, get_args

import msgspec
from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import One, one
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.custody import record
from kintsugi.api.permissions import Scope
from kintsugi.api.problems import FieldError, Invalid
from kintsugi.api.routing import Routes
from kintsugi.errors import InvalidInput
from kintsugi.model.config import Config
from kintsugi.model.regression import NO_CASE, CaseKind, CaseState, Regression, RegressionFilter
from kintsugi.policy.parse import parse_config
from kintsugi.replay.exports import CASE_FORMATS
from kintsugi.replay.exports.entry import Entry, RegressionExport, entry_of
from kintsugi.replay.exports.run_results import ResultFormat
from kintsugi.replay.exports.run_results import export as export_results
from kintsugi.replay.redaction_gate import without_kept

routes = Routes("regressions")

#: Of one export, so that no answer grows with history.
CASES_MAX: Final = 1000
_PAGE: Final = 200
_RESULTS: Final = get_args(ResultFormat)


class RegressionExportQuery(BaseModel):
    """Which cases, and how."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["suites", "promptfoo", "inspect", "openai-evals", "deepeval"] | ResultFormat
    incident: Annotated[str, Field(max_length=64, description="Id or reference.")] = ""
    config: Annotated[str, Field(max_length=200)] = ""
    state: CaseState | Literal[""] = "approved"
    kind: CaseKind | Literal[""] = ""
    with_: Annotated[
        str,
        Field(
            alias="with",
            max_length=220,
            description="ID@VERSION or ID@latest, for junit, tap and sarif: what to run them on.",
        ),
    ] = ""


@routes.add(
    "GET",
    "/v1/regressions/export",
    Scope.REGRESSIONS_READ,
    answer=One[RegressionExport],
    parameters=True,
    audited=True,
)
def export_regressions(
    control: Ctl, caller: Caller, query: Annotated[RegressionExportQuery, Query()]
) -> Response:
    """At most 1,000 cases as files of another tool, and all that is lost on the way. Custody says
    whose cases left. What a person let in in spite of the gate stays masked."""
    config = _judging(control, query)
    found = _cases(control, query, config)
    entries = _entries(control, found)
    if config is not None:
        exported = export_results(entries, config, query.format)  # type: ignore[arg-type]
    else:
        exported = CASE_FORMATS[query.format](entries)
    for incident, count in Counter(case.incident_id for case in found).items():
        reason = f"{count} regression cases as {query.format}"
        record(control, caller, "transfer", f"incident:{incident}", reason=reason)
    return one(exported)


def _judging(control: Control, query: RegressionExportQuery) -> Config | None:
    """The configuration to run the cases on; None where the format is of the cases themselves."""
    if query.format not in _RESULTS:
        if query.with_:
            raise Invalid([FieldError("query.with", f'"{query.format}" runs nothing')])
        return None
    config_id, _, version = query.with_.rpartition("@")
    if not config_id or not (version == "latest" or (version.isdecimal() and len(version) < 10)):
        help_ = "support-prod@7, or support-prod@latest"
        raise Invalid(
            [FieldError("query.with", f'"{query.format}" is of a run: say on what', help=help_)]
        )
    number = None if version == "latest" else int(version)
    kept = control.stores.configurations.get(config_id, number)
    return parse_config(kept.content, file=f"{kept.id}@{kept.version}")


def _cases(
    control: Control, query: RegressionExportQuery, config: Config | None
) -> list[Regression]:
    """The cases that are wanted, the oldest first.

    Raises:
        InvalidInput: there are too many.
    """
    incident = control.stores.incidents.get(query.incident).id if query.incident else ""
    where = RegressionFilter(
        incident=incident,
        config_id=query.config or (config.id if config is not None else ""),
        state=query.state,
        kind=query.kind,
    )
    found: list[Regression] = []
    cursor: str | None = None
    while True:
        page, cursor = control.stores.regressions.page(where, limit=_PAGE, cursor=cursor)
        found += page
        if len(found) > CASES_MAX:
            raise InvalidInput(
                f"there are more than {CASES_MAX} such cases; narrow them down by incident, "
                "config, state or kind"
            )
        if cursor is None:
            return found[::-1]


def _entries(control: Control, found: list[Regression]) -> list[Entry]:
    ids = {case.incident_id for case in found}
    names = {one: control.stores.incidents.get(one).reference for one in ids}
    return [_entry(case, names[case.incident_id]) for case in found]


def _entry(case: Regression, incident: str) -> Entry:
    entry = entry_of(case, incident)
    if not case.kept or case.lost:
        return entry
    shown = without_kept(case.case, (kept.finding for kept in case.kept))
    if shown is None:
        lost = "what a person let in in spite of the gate cannot be told from the rest"
        return msgspec.structs.replace(entry, case=NO_CASE, lost=lost)
    return msgspec.structs.replace(entry, case=shown, masked=True)
