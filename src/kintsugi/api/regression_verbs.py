"""What people do to a regression case: edit it, replace it, run it. Decisions about it stand in
``regression_rulings``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import One, one
from kintsugi.api.bound_cases import require_held
from kintsugi.api.configurations import CONTENT_BYTES_MAX, CONTENT_CHARS_MAX
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.custody import actor_of
from kintsugi.api.edits import DryRun, IfMatch, etag, expected_version
from kintsugi.api.permissions import Scope
from kintsugi.api.proving import named_version
from kintsugi.api.regression_views import RegressionView, reference_of, view_of
from kintsugi.api.regressions import (
    CASE_CHARS_MAX,
    Expect,
    Keep,
    Piece,
    RegressionKey,
    Why,
    Word,
    require_reveal,
)
from kintsugi.api.routing import Routes
from kintsugi.errors import InvalidInput, NotFound, VersionConflict
from kintsugi.incidents import regressions as rules
from kintsugi.incidents.regressions import Deed
from kintsugi.model.config import Config, Position
from kintsugi.model.regression import Regression, RegressionFilter
from kintsugi.model.tokens import Token
from kintsugi.policy.parse import parse_config
from kintsugi.replay.case_runner import run_cases
from kintsugi.replay.case_text import read_case
from kintsugi.replay.expectations import canonical
from kintsugi.replay.redaction_gate import FoundSensitive, gate
from kintsugi.replay.results import CaseResult, RunReport
from kintsugi.replay.sources import Located

routes = Routes("regressions")

RUN_MAX = 1_000
# What a result may quote of a case; of one with something kept it is not shown.
_QUOTES = ("response_contains", "response_excludes", "request_excludes")
Decide = Callable[[Regression], Regression]


class EditedRegression(BaseModel):
    """What is to change; what is left out stays.

    Attributes:
        text: the whole case as YAML that holds ``testing:``.
        expected: single fields of what must come out.
    """

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(max_length=CASE_CHARS_MAX)] = ""
    expected: Expect = Field(default_factory=Expect)
    name: Word = ""
    description: Piece | None = None
    keep: Keep = Field(default_factory=dict)
    reason: Why = ""


class Replacement(BaseModel):
    """What stands in, and why."""

    model_config = ConfigDict(extra="forbid")

    by: Annotated[str, Field(max_length=20, description="REG-000012; approved already.")]
    reason: Annotated[str, Field(min_length=1, max_length=2000)]


class RegressionRun(BaseModel):
    """Which cases to run, and on what.

    Attributes:
        incident: all of its cases that are proposed or approved.
        config_version: ``ID@V``; ``content`` is the text of a file instead. The newest version of
            each case's own configuration where neither is given.
    """

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[list[Annotated[str, Field(max_length=20)]], Field(max_length=RUN_MAX)] = Field(
        default_factory=list
    )
    incident: Annotated[str, Field(max_length=64)] = ""
    config_version: Annotated[str, Field(max_length=300)] = ""
    content: Annotated[str, Field(max_length=CONTENT_CHARS_MAX)] = ""


class ChangedRegression(msgspec.Struct, frozen=True):
    """A case as it is now.

    Attributes:
        found: what the gate replaced or kept this time.
        same_engine: of an approval: whether the configuration of its time means to this engine
            what it meant when it decided; null where it was not run.
        dry_run: this is what it would be.
    """

    regression: RegressionView
    found: tuple[FoundSensitive, ...]
    same_engine: bool | None
    dry_run: bool


class RegressionRuns(msgspec.Struct, frozen=True):
    """What became of the cases, by configuration."""

    reports: list[RunReport]


@routes.add(
    "POST",
    "/v1/regressions/run",
    Scope.REPLAYS_RUN,
    answer=One[RegressionRuns],
    body_bytes_max=CONTENT_BYTES_MAX,
)
def run_regressions(control: Ctl, asked: RegressionRun) -> Response:
    """Run cases on a configuration: the newest of each, a version, or a file. Nothing is kept."""
    found = _asked(control, asked)
    if asked.config_version and asked.content:
        raise InvalidInput("body: give config_version or content, not both")
    configs = _configs(control, asked, {one.config_id for one in found})
    reports = []
    for name, (config, label) in configs.items():
        cases = [one for one in found if one.config_id == name]
        hidden = frozenset(one.id for one in cases if one.kept)
        located = [
            Located(one.id, msgspec.structs.replace(one.case, skip=""), label, Position())
            for one in cases
        ]
        report = run_cases(config, located)
        shown = tuple(_quoting_nothing(each, hidden) for each in report.results)
        reports.append(
            msgspec.structs.replace(report, file=label, config_version=label, results=shown)
        )
    return one(RegressionRuns(reports))


@routes.add(
    "PUT",
    "/v1/regressions/{regression_id}",
    Scope.REGRESSIONS_WRITE,
    answer=One[ChangedRegression],
    parameters=True,
    body_bytes_max=CONTENT_BYTES_MAX,
)
def edit_regression(
    control: Ctl,
    caller: Caller,
    regression_id: RegressionKey,
    query: DryRun,
    wanted: EditedRegression,
    if_match: IfMatch = None,
) -> Response:
    """Change what a case sends or expects, through the gate. What is approved may only come to
    expect more."""
    require_reveal(caller, wanted.keep)
    return edit(control, caller, regression_id, wanted, if_match, dry_run=query.dry_run)


def edit(
    control: Control,
    caller: Token,
    regression_id: str,
    wanted: EditedRegression,
    if_match: str | None = None,
    *,
    dry_run: bool = False,
) -> Response:
    """What the route does; the console does the same."""
    deed = Deed(actor_of(caller), control.clock(), wanted.reason)
    found: list[FoundSensitive] = []

    def decide(before: Regression) -> Regression:
        case = before.case
        if wanted.text:
            case = read_case(wanted.text, file=f"{before.id}.yaml")
        case = msgspec.structs.replace(
            case,
            name=wanted.name.strip() or case.name,
            description=case.description if wanted.description is None else wanted.description,
            expected=canonical(wanted.expected.over(case.expected)),
        )
        gated = gate(case, keep={*wanted.keep, *(kept.finding for kept in before.kept)})
        found[:] = gated.found
        after = rules.through_gate(before, gated, wanted.keep, deed)
        made = rules.edited(before, after, deed)
        require_held(control.stores, made)
        return made

    return answered(changed(control, regression_id, decide, if_match, dry_run=dry_run, found=found))


@routes.add(
    "POST",
    "/v1/regressions/{regression_id}/replace",
    Scope.REGRESSIONS_APPROVE,
    answer=One[ChangedRegression],
    parameters=True,
)
def replace_regression(
    control: Ctl,
    caller: Caller,
    regression_id: RegressionKey,
    query: DryRun,
    replacement: Replacement,
    if_match: IfMatch = None,
) -> Response:
    """Leave a tombstone that names the approved case which stands in."""
    deed = Deed(actor_of(caller), control.clock(), replacement.reason)
    by = control.stores.regressions.get(replacement.by)
    return answered(
        changed(
            control,
            regression_id,
            lambda before: rules.replaced(before, by, deed),
            if_match,
            dry_run=query.dry_run,
        )
    )


def changed(
    control: Control,
    regression_id: str,
    decide: Decide,
    if_match: str | None = None,
    *,
    dry_run: bool,
    found: Sequence[FoundSensitive] = (),
    same_engine: bool | None = None,
) -> ChangedRegression:
    """What became of a case, or would.

    Raises:
        VersionConflict: it is not any more what ``if_match`` names.
    """
    expected = expected_version(if_match)
    regressions = control.stores.regressions
    if dry_run:
        before = regressions.get(regression_id)
        if expected is not None and before.version != expected:
            raise VersionConflict(
                f"{before.id} is at version {before.version}, not {expected}; read it again"
            )
        after = decide(before)
    else:
        after = regressions.change(regression_id, decide, expected_version=expected)
    view = view_of(after, reference_of(control, after))
    return ChangedRegression(view, tuple(found), same_engine, dry_run)


def answered(made: ChangedRegression) -> Response:
    """The answer that tells of it."""
    return one(made, headers={"ETag": etag(made.regression.version)})


def _asked(control: Control, asked: RegressionRun) -> list[Regression]:
    regressions = control.stores.regressions
    found = {one.id: one for one in map(regressions.get, asked.ids)}
    if asked.incident:
        incident = control.stores.incidents.get(asked.incident)
        page, cursor = regressions.page(RegressionFilter(incident=incident.id), limit=RUN_MAX)
        if cursor is not None:
            raise InvalidInput(f"{incident.reference} has more than {RUN_MAX} cases; name some")
        found |= {one.id: one for one in reversed(page) if one.state in ("proposed", "approved")}
    if not found:
        raise InvalidInput("body: name cases (ids), or an incident that has some")
    if lost := [one for one in found.values() if one.lost]:
        raise InvalidInput(f"{lost[0].id} cannot be run: {lost[0].lost}")
    return [*found.values()]


def _configs(
    control: Control, asked: RegressionRun, wanted: set[str]
) -> Mapping[str, tuple[Config, str]]:
    """The configuration for the cases of each, and what to call it."""
    configurations = control.stores.configurations
    if asked.content:
        config = parse_config(asked.content, file="candidate.yaml")
        _require_own(config.id, wanted)
        return {config.id: (config, f"{config.id} (file)")}
    if asked.config_version:
        config_id, number = named_version(asked.config_version)
        _require_own(config_id, wanted)
        kept = configurations.get(config_id, number)
        return {config_id: (parse_config(kept.content), asked.config_version)}
    found = {}
    for config_id in sorted(wanted):
        try:
            newest = configurations.get(config_id)
        except NotFound:
            raise NotFound(
                f"no version of {config_id} is published here; name a file: --file FILE"
            ) from None
        found[config_id] = parse_config(newest.content), f"{config_id}@{newest.version}"
    return found


def _require_own(config_id: str, wanted: set[str]) -> None:
    if others := sorted(wanted - {config_id}):
        raise InvalidInput(
            f"cases test {', '.join(others)}, not {config_id}; name those of one configuration"
        )


def _quoting_nothing(result: CaseResult, hidden: frozenset[str]) -> CaseResult:
    if result.suite not in hidden:
        return result
    unmet = tuple(
        msgspec.structs.replace(each, expected="(kept back)", got="(kept back)")
        if each.field in _QUOTES
        else each
        for each in result.mismatches
    )
    return msgspec.structs.replace(result, mismatches=unmet, expected=type(result.expected)())
