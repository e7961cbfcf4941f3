"""``/v1/regressions/{id}/minimise``, ``/variants`` and ``/twins``: a case made shorter, and what is
near it, tried on both configurations and proposed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Final

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import One, one
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.custody import actor_of
from kintsugi.api.edits import DryRun
from kintsugi.api.permissions import Scope
from kintsugi.api.proving import Bench, judge_of, named_version
from kintsugi.api.regression_capture import payload_for_gate
from kintsugi.api.regression_views import RegressionView, view_of
from kintsugi.api.regressions import RegressionKey
from kintsugi.api.routing import Routes
from kintsugi.errors import InvalidInput, NotFound, StateConflict
from kintsugi.gateway.in_force import InForce
from kintsugi.incidents.regression_relatives import (
    minimised,
    relative,
    require_minimisable,
    require_parent,
)
from kintsugi.incidents.regressions import Deed
from kintsugi.model.config import Case
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.incident import Incident
from kintsugi.model.regression import Regression, RegressionFilter
from kintsugi.model.tokens import Token
from kintsugi.model.vault import Subject
from kintsugi.model.verdict import Verdict
from kintsugi.replay.capture import case_of
from kintsugi.replay.compiled import compiled
from kintsugi.replay.minimise import Minimised, minimise
from kintsugi.replay.prove import Judge
from kintsugi.replay.redaction_gate import gate
from kintsugi.replay.reproduction import NotReproducible, reproduces, run_one
from kintsugi.replay.results import CaseOutcome
from kintsugi.replay.text_pieces import Grain
from kintsugi.replay.twins import Neighbour, is_over_block, nearest, twins
from kintsugi.replay.variants import TECHNIQUES, side_of, variants

routes = Routes("regressions")

# Beside the ten seconds that it may take: what it was when the budget ended still reproduces.
MINIMISE_SECONDS_MAX: Final = 8
# Recorded exchanges that are compared with a case; each is read.
NEIGHBOURS_READ: Final = 200
_RELATIVES_MAX: Final = 500


class _Against(BaseModel):
    model_config = ConfigDict(extra="forbid")

    config_version: Annotated[
        str,
        Field(
            max_length=300,
            description="`ID@V` that puts the case right; the newest version where left out.",
        ),
    ] = ""


class MakeTwins(_Against):
    """Where to try twins."""


class Shorten(_Against):
    """How to minimise, and on what.

    Attributes:
        finest: how finely texts are cut.
    """

    finest: Grain = "word"


class MakeVariants(_Against):
    """Which variants to make, and on what.

    Attributes:
        techniques: all of them where left out.
    """

    techniques: Annotated[list[str], Field(max_length=50)] = []


class MinimisedView(msgspec.Struct, frozen=True):
    """What minimising came to.

    Attributes:
        regression: its new version; in a dry run what it would be.
        red, green: the configurations that it was held against; ``green`` empty where none puts
            it right: then the same policy still decides the same.
        complete: nothing more can go. False where the time was up first.
    """

    regression: RegressionView
    red: str
    green: str
    tests_run: int
    original_chars: int
    minimised_chars: int
    complete: bool
    dry_run: bool


class RelativeView(msgspec.Struct, frozen=True):
    """A variant or twin that is proposed.

    Attributes:
        holds: whether ``green`` meets it.
        got: the verdict there.
    """

    regression: RegressionView
    holds: bool
    got: str


class RelativesView(msgspec.Struct, frozen=True):
    """What was made of a case.

    Attributes:
        red, green: the configurations that each was tried on.
        known: techniques whose result is there already, whatever was decided on it.
        passing: variants that ``red`` meets already, which as cases could not fail.
        unusable: techniques whose result could not be run.
        differing: how many twins did not come out the same on both.
        neighbours_read: recorded exchanges that were compared with the case.
        dry_run: nothing was kept; the ids are empty.
    """

    relatives: list[RelativeView]
    red: str
    green: str
    dry_run: bool
    known: tuple[str, ...] = ()
    passing: tuple[str, ...] = ()
    unusable: tuple[str, ...] = ()
    differing: int = 0
    neighbours_read: int = 0


@routes.add(
    "POST",
    "/v1/regressions/{regression_id}/minimise",
    Scope.REGRESSIONS_WRITE,
    answer=One[MinimisedView],
    parameters=True,
)
def minimise_regression(
    control: Ctl,
    caller: Caller,
    regression_id: RegressionKey,
    query: DryRun,
    wanted: Shorten | None = None,
) -> Response:
    """Make a proposed case as short as it can be while it still fails on the configuration of its
    time in the same way, and holds on the one that puts it right."""
    asked = wanted or Shorten()
    before = control.stores.regressions.get(regression_id)
    require_minimisable(before)
    sides = _Sides(control, before, asked.config_version)
    result = _minimised(control, before, sides, asked.finest)
    deed = _deed(control, caller)
    if query.dry_run:
        after = minimised(before, result, deed)
    else:
        after = control.stores.regressions.change(
            before.id,
            lambda found: minimised(found, result, deed),
            expected_version=before.version,
        )
    return one(
        MinimisedView(
            regression=view_of(after, sides.incident.reference),
            red=sides.red.config_version,
            green=sides.green.config_version if sides.green is not None else "",
            tests_run=result.tests_run,
            original_chars=result.original_chars,
            minimised_chars=result.minimised_chars,
            complete=result.complete,
            dry_run=query.dry_run,
        )
    )


@routes.add(
    "POST",
    "/v1/regressions/{regression_id}/variants",
    Scope.REGRESSIONS_WRITE,
    answer=One[RelativesView],
    parameters=True,
)
def make_variants(
    control: Ctl,
    caller: Caller,
    regression_id: RegressionKey,
    query: DryRun,
    wanted: MakeVariants | None = None,
) -> Response:
    """Propose near variants of a case that fail on the configuration of its time as it does, and
    say which of them another configuration meets."""
    asked = wanted or MakeVariants()
    if unknown := sorted(set(asked.techniques) - TECHNIQUES.keys()):
        raise InvalidInput(
            f"techniques: {', '.join(unknown)} is not known; use some of: {', '.join(TECHNIQUES)}"
        )
    parent = control.stores.regressions.get(regression_id)
    require_parent(parent)
    sides = _Sides(control, parent, asked.config_version)
    green = sides.newest
    tried = run_one(green, parent.case)
    if tried.verdict == Verdict.ALLOW.value:
        tried = run_one(sides.red, parent.case)
    deed = _deed(control, caller)
    digests = _digests(control, parent)
    made, known, passing, unusable = [], [], [], []
    for variant in variants(parent.case, side_of(tried)):
        if asked.techniques and variant.technique not in asked.techniques:
            continue
        draft = relative(parent, "variant", variant.technique, variant.case, deed)
        failed = run_one(sides.red, draft.case)
        if draft.digest in digests:
            known.append(variant.technique)
        elif failed.outcome is CaseOutcome.ERROR:
            unusable.append(variant.technique)
        elif failed.passed:
            passing.append(variant.technique)
        else:
            made.append(draft)
            digests.add(draft.digest)
    views = _kept(control, made, sides, green, dry_run=query.dry_run)
    return one(
        RelativesView(
            views,
            red=sides.red.config_version,
            green=green.config_version,
            dry_run=query.dry_run,
            known=tuple(known),
            passing=tuple(passing),
            unusable=tuple(unusable),
        )
    )


@routes.add(
    "POST",
    "/v1/regressions/{regression_id}/twins",
    Scope.REGRESSIONS_WRITE,
    answer=One[RelativesView],
    parameters=True,
)
def make_twins(
    control: Ctl,
    caller: Caller,
    regression_id: RegressionKey,
    query: DryRun,
    wanted: MakeTwins | None = None,
) -> Response:
    """Propose benign twins of a case: what surrounded its trigger, recorded neighbours, and texts
    that talk about it, where both configurations let them through; of an over-block, recorded
    attacks that both stop."""
    asked = wanted or MakeTwins()
    parent = control.stores.regressions.get(regression_id)
    require_parent(parent)
    sides = _Sides(control, parent, asked.config_version)
    whole = control.stores.regressions.history(parent.id)[-1]
    if whole.lost:
        whole = parent
    try:
        left = _minimised(control, whole, sides, "word")
        short, remainder = left.case, left.remainder
    except StateConflict:
        short, remainder = parent.case, None  # neighbours can be had all the same
    deed = _deed(control, caller)
    neighbours = _Neighbours(control, whole, deed)
    found = twins(
        whole.case,
        minimised=short,
        remainder=remainder,
        neighbours=neighbours.nearest,
        red=sides.red,
        green=sides.newest,
    )
    digests = _digests(control, parent)
    made, known = [], []
    for number, twin in enumerate(found.proposed, 1):
        named = msgspec.structs.replace(twin.case, name=f"{parent.case.name} (twin {number})")
        draft = _twin(control, parent, twin.technique, named, twin.event_id, deed)
        if draft.digest in digests:
            known.append(twin.technique)
        else:
            made.append(draft)
            digests.add(draft.digest)
    views = _kept(control, made, sides, sides.newest, dry_run=query.dry_run)
    return one(
        RelativesView(
            views,
            red=sides.red.config_version,
            green=sides.newest.config_version,
            dry_run=query.dry_run,
            known=tuple(known),
            differing=found.differing,
            neighbours_read=neighbours.read,
        )
    )


class _Sides:
    """The configuration that a case has to fail on, and one to hold it against.

    Attributes:
        newest: the one that was named, or the newest of its configuration.
        green: the same where it meets the case, or was named; None otherwise.
    """

    def __init__(self, control: Control, of: Regression, named: str) -> None:
        self.incident: Incident = control.stores.incidents.get(of.incident_id)
        since = (
            self.incident.first_occurred_at
            or self.incident.detected_at
            or self.incident.reported_at
        )
        bench = Bench(control.stores)
        self.red = _compiled(bench.red(of, since))
        if named:
            config_id, version = named_version(named)
            if config_id != of.config_id:
                raise InvalidInput(f"{named} is no version of {of.config_id}, which {of.id} tests")
            self.newest = _compiled(judge_of(control.stores.configurations.get(config_id, version)))
        else:
            self.newest = _compiled(bench.newest(of.config_id))
        meets = run_one(self.newest, of.case).passed
        self.green = self.newest if named or meets else None


def _compiled(judge: Judge) -> InForce:
    if judge.content is None:
        raise StateConflict(f"not attempted: {judge.missing}; publish that configuration here")
    in_force = compiled(judge.content).in_force
    in_force.config_version = judge.name
    return in_force


def _minimised(control: Control, one: Regression, sides: _Sides, finest: Grain) -> Minimised:
    """What is left of a case.

    Raises:
        StateConflict: there is nothing to hold a shorter one against.
    """
    try:
        still = reproduces(one.case, sides.red, sides.green)
    except NotReproducible as error:
        raise StateConflict(f"not attempted: {error}") from None
    until = control.clock() + timedelta(seconds=MINIMISE_SECONDS_MAX)
    return minimise(one.case, still, finest=finest, stop=lambda: control.clock() > until)


class _Neighbours:
    """Recorded exchanges of the same workflow, the newest of them: allowed ones; for an over-block
    those that were stopped for the same reason.

    Attributes:
        read: how many were compared with the case, by what everybody may see of them.
        nearest: those that are much like it, as cases behind the redaction gate.
    """

    def __init__(self, control: Control, of: Regression, deed: Deed) -> None:
        seen = list(_recorded(control, of))
        self.read = len(seen)
        self.nearest = []
        for twin in nearest(of.case, seen):
            event = control.stores.events.get(twin.event_id)
            payload = payload_for_gate(control, event, deed)
            case = case_of(event, payload, name="", facts=False)
            self.nearest.append(Neighbour(event.id, gate(case).case))


def _recorded(control: Control, of: Regression) -> Iterator[Neighbour]:
    if not of.source.event_id:
        return
    try:
        event = control.stores.events.get(of.source.event_id)
    except NotFound:
        return
    where = EventFilter(workflow=event.workflow, verdict=Verdict.ALLOW)
    if is_over_block(of.case):
        where = EventFilter(
            workflow=event.workflow, verdict=event.verdict, reason_code=event.reason_code
        )
    for found in control.stores.events.page(where, limit=NEIGHBOURS_READ).events:
        if found.id == event.id or found.dialect != event.dialect:
            continue
        whole = control.stores.events.get(found.id)
        try:
            yield Neighbour(found.id, case_of(whole, whole.payload, name="", facts=False))
        except InvalidInput:
            continue  # what a case is made of was not kept


def _twin(
    control: Control, parent: Regression, technique: str, case: Case, event_id: str, deed: Deed
) -> Regression:
    if not event_id:
        return relative(parent, "twin", technique, case, deed)
    event = control.stores.events.get(event_id)
    subject = str(Subject.of(event))
    return relative(parent, "twin", technique, case, deed, event_id=event_id, subject=subject)


def _kept(
    control: Control, made: list[Regression], sides: _Sides, green: InForce, *, dry_run: bool
) -> list[RelativeView]:
    kept = made
    if made and not dry_run:
        kept = control.stores.regressions.add(made, now=control.clock(), once=True)
    views = []
    for each in kept:
        result = run_one(green, each.case)
        view = view_of(each, sides.incident.reference)
        views.append(RelativeView(view, result.passed, result.verdict or result.why))
    return views


def _digests(control: Control, parent: Regression) -> set[str]:
    """Of what was made of a case before."""
    where = RegressionFilter(parent=parent.id)
    found, _ = control.stores.regressions.page(where, limit=_RELATIVES_MAX)
    return {parent.digest, *(each.digest for each in found)}


def _deed(control: Control, caller: Token) -> Deed:
    return Deed(actor_of(caller), control.clock())
