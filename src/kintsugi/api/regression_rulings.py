"""A person's word on regression cases: one lets a case count, or sets it aside; many at once are
decided one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated, Final, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import One
from kintsugi.api.answers import one as answer
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.custody import actor_of
from kintsugi.api.edits import DryRun, IfMatch
from kintsugi.api.permissions import Scope
from kintsugi.api.proving import Bench
from kintsugi.api.regression_verbs import ChangedRegression, answered, changed
from kintsugi.api.regression_views import RegressionView
from kintsugi.api.regressions import RegressionKey, Why
from kintsugi.api.routing import Routes
from kintsugi.errors import (
    Blocked,
    Forbidden,
    InvalidInput,
    KeyUnavailable,
    NotFound,
    StateConflict,
    StoreUnavailable,
    VersionConflict,
)
from kintsugi.incidents import regressions as rules
from kintsugi.incidents.regressions import Deed
from kintsugi.model.blocker import Blocker
from kintsugi.model.regression import Regression
from kintsugi.model.tokens import Token
from kintsugi.replay.prove import run_on
from kintsugi.replay.redaction_gate import gate

routes = Routes("regressions")

RULED_MAX: Final = 500
# What is about one case; anything else is about all that follow.
_REFUSALS = (Forbidden, InvalidInput, KeyUnavailable, NotFound, StateConflict, VersionConflict)


class Ruling(BaseModel):
    """Why, in the words of who decides."""

    model_config = ConfigDict(extra="forbid")

    reason: Why = ""


class Rulings(BaseModel):
    """One word on several cases."""

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[
        list[Annotated[str, Field(max_length=20)]], Field(min_length=1, max_length=RULED_MAX)
    ]
    reason: Why = ""


class RuledCase(msgspec.Struct, frozen=True):
    """What became of one of them.

    Attributes:
        outcome: ``done``, in a dry run what would be; ``refused``, for ``why`` and ``blockers``;
            ``not_attempted``: something that is about no single case came in between.
        regression: as it is now; null where nothing was done.
    """

    regression_id: str
    outcome: Literal["done", "refused", "not_attempted"]
    regression: RegressionView | None = None
    why: str = ""
    blockers: tuple[Blocker, ...] = ()


class RuledCases(msgspec.Struct, frozen=True):
    """What became of each, in the order in which they were named.

    Attributes:
        dry_run: nothing was kept.
    """

    done: int
    refused: int
    not_attempted: int
    dry_run: bool
    cases: list[RuledCase]


@routes.add(
    "POST",
    "/v1/regressions/approve",
    Scope.REGRESSIONS_APPROVE,
    answer=One[RuledCases],
    parameters=True,
)
def approve_regressions(control: Ctl, caller: Caller, query: DryRun, rulings: Rulings) -> Response:
    """Let several cases count: each is run and decided by itself, and one that is refused keeps no
    other from being approved."""
    ruling, bench = Ruling(reason=rulings.reason), Bench(control.stores)
    return _ruled(
        rulings.ids,
        lambda one: approve(control, caller, one, ruling, dry_run=query.dry_run, bench=bench),
        dry_run=query.dry_run,
    )


@routes.add(
    "POST",
    "/v1/regressions/reject",
    Scope.REGRESSIONS_APPROVE,
    answer=One[RuledCases],
    parameters=True,
)
def reject_regressions(control: Ctl, caller: Caller, query: DryRun, rulings: Rulings) -> Response:
    """Set several proposed cases aside, with the reason; each is decided by itself."""
    if not rulings.reason.strip():
        raise InvalidInput("body.reason: say why; it is kept with each case")
    ruling = Ruling(reason=rulings.reason)
    return _ruled(
        rulings.ids,
        lambda one: reject(control, caller, one, ruling, dry_run=query.dry_run),
        dry_run=query.dry_run,
    )


@routes.add(
    "POST",
    "/v1/regressions/{regression_id}/approve",
    Scope.REGRESSIONS_APPROVE,
    answer=One[ChangedRegression],
    parameters=True,
)
def approve_regression(
    control: Ctl,
    caller: Caller,
    regression_id: RegressionKey,
    query: DryRun,
    ruling: Ruling,
    if_match: IfMatch = None,
) -> Response:
    """Let a case count. It is run on the configuration of its time first, where it has to fail; a
    twin has to hold there. What passes there is refused."""
    made = approve(control, caller, regression_id, ruling, if_match, dry_run=query.dry_run)
    return answered(made)


def approve(
    control: Control,
    caller: Token,
    regression_id: str,
    ruling: Ruling,
    if_match: str | None = None,
    *,
    dry_run: bool = False,
    bench: Bench | None = None,
) -> ChangedRegression:
    """What the route does; the console does the same.

    Args:
        bench: for many cases, so that their configurations are read once.
    """
    deed = Deed(actor_of(caller), control.clock(), ruling.reason)
    # Run before the case is locked: what is compiled takes a while.
    before = control.stores.regressions.get(regression_id)
    incident = control.stores.incidents.get(before.incident_id)
    since = incident.first_occurred_at or incident.detected_at or incident.reported_at
    run = run_on((bench or Bench(control.stores)).red(before, since), [before], "red", at=deed.now)
    found = gate(before.case, keep={kept.finding for kept in before.kept}).found

    def decide(now: Regression) -> Regression:
        if now.version != before.version:
            raise VersionConflict(f"{now.id} was changed meanwhile; look at it again")
        return rules.approved(now, found, run, deed)

    return changed(
        control,
        regression_id,
        decide,
        if_match,
        dry_run=dry_run,
        found=found,
        same_engine=run.same_engine,
    )


@routes.add(
    "POST",
    "/v1/regressions/{regression_id}/reject",
    Scope.REGRESSIONS_APPROVE,
    answer=One[ChangedRegression],
    parameters=True,
)
def reject_regression(
    control: Ctl,
    caller: Caller,
    regression_id: RegressionKey,
    query: DryRun,
    ruling: Ruling,
    if_match: IfMatch = None,
) -> Response:
    """Set a proposed case aside, with the reason."""
    made = reject(control, caller, regression_id, ruling, if_match, dry_run=query.dry_run)
    return answered(made)


def reject(
    control: Control,
    caller: Token,
    regression_id: str,
    ruling: Ruling,
    if_match: str | None = None,
    *,
    dry_run: bool = False,
) -> ChangedRegression:
    """What the route does; the console does the same."""
    deed = Deed(actor_of(caller), control.clock(), ruling.reason)
    return changed(
        control,
        regression_id,
        lambda before: rules.rejected(before, deed),
        if_match,
        dry_run=dry_run,
    )


def _ruled(
    ids: Sequence[str], rule: Callable[[str], ChangedRegression], *, dry_run: bool
) -> Response:
    cases: list[RuledCase] = []
    stopped = ""
    for one in dict.fromkeys(ids):
        if stopped:
            cases.append(RuledCase(one, "not_attempted", why=stopped))
            continue
        try:
            cases.append(RuledCase(one, "done", rule(one).regression))
        except _REFUSALS as refusal:
            blockers = refusal.blockers if isinstance(refusal, Blocked) else ()
            cases.append(RuledCase(one, "refused", why=str(refusal), blockers=blockers))
        except StoreUnavailable as error:
            if not cases:
                raise
            stopped = f"{error} Look at it again: kt regressions show {one}"
            cases.append(RuledCase(one, "not_attempted", why=stopped))
    count = Counter(one.outcome for one in cases)
    told = RuledCases(count["done"], count["refused"], count["not_attempted"], dry_run, cases)
    return answer(told)
