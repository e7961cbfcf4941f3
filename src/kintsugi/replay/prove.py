"""Red/green proof: each case on the configuration of its time, and on a candidate. Pure.

The same code as ``kt policy test`` judges both sides. Every configuration is compiled once, and of
a case that ran nothing is kept but what it came to: a thousand take no memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain
from typing import Final

import msgspec

from kintsugi import __version__
from kintsugi.errors import ConfigurationInvalid
from kintsugi.gateway.in_force import InForce
from kintsugi.model.config import Position
from kintsugi.model.containment import Containment
from kintsugi.model.proof import CaseProof, CaseRun, Proof, ProofResult, ProofRun, Side
from kintsugi.model.regression import Regression
from kintsugi.replay.case_runner import run_case
from kintsugi.replay.compiled import compiled
from kintsugi.replay.results import CaseOutcome, CaseResult
from kintsugi.replay.sources import Located

NO_CASE: Final = "it has no approved case of kind case; variants and twins alone prove nothing"
_NOWHERE: Final = Position(1, 1)


class Judge(msgspec.Struct, frozen=True):
    """A configuration that cases run on.

    Attributes:
        name: ``ID@V``; ``ID`` alone for a file that is not published.
        content: its text; None where it is not kept here.
        recorded_revision: what it was when it decided, or was published; empty where nobody knows.
        missing: why its text is not here.
    """

    config_id: str
    name: str
    content: str | None
    recorded_revision: str = ""
    missing: str = ""


class Charge(msgspec.Struct, frozen=True):
    """A case, and both configurations that it is tried on.

    Attributes:
        earlier: the red run of exactly this version, kept from when it was approved. It counts
            where the present engine makes something else of the old configuration.
    """

    regression: Regression
    red: Judge
    green: Judge
    earlier: ProofRun | None = None


def prove(
    charges: Sequence[Charge], *, incident_id: str, reference: str, at: datetime, by: str
) -> Proof:
    """Try every case on both of its configurations.

    The whole passes when every case is proved, and at least one is of kind ``case``.
    """
    runs = (*_red_runs(charges, at), *_green_runs(charges, at))
    met = {(run.side, case.regression_id): case.met for run in runs for case in run.cases}
    cases = tuple(_judged(one, met) for one in charges)
    reasons = () if any(one.kind == "case" for one in cases) else (NO_CASE,)
    return Proof(
        id="",
        incident_id=incident_id,
        reference=reference,
        at=at,
        by=by,
        passed=not reasons and all(one.result == "proved" for one in cases),
        cases=cases,
        runs=runs,
        reasons=reasons,
    )


def run_on(
    judge: Judge, regressions: Iterable[Regression], side: Side, *, at: datetime
) -> ProofRun:
    """Run cases on one configuration, one after the other."""
    court = Court(judge)
    return court.run(regressions, side, at)


def _red_runs(charges: Sequence[Charge], at: datetime) -> Iterator[ProofRun]:
    for judge in dict.fromkeys(one.red for one in charges):
        court = Court(judge)
        tried = [one for one in charges if one.red == judge]
        if not court.same_engine:
            yield from (one.earlier for one in tried if one.earlier is not None)
            tried = [one for one in tried if one.earlier is None]
        if tried:
            yield court.run((one.regression for one in tried), "red", at)


def _green_runs(charges: Sequence[Charge], at: datetime) -> Iterator[ProofRun]:
    for judge in dict.fromkeys(one.green for one in charges):
        tried = (one.regression for one in charges if one.green == judge)
        yield run_on(judge, tried, "green", at=at)


class Court:
    """A configuration, compiled; or why it cannot be.

    Args:
        under: containments that every case is taken to be in the scope of, with what they pin.
    """

    def __init__(self, judge: Judge, under: Sequence[Containment] = ()) -> None:
        self._judge = judge
        self._in_force: InForce | None = None
        self._revision = ""
        self._error = judge.missing
        self._tried = 0
        if judge.content is not None:
            try:
                ready = compiled(judge.content)
            except ConfigurationInvalid as error:
                self._error = str(error)
            else:
                self._revision = ready.revision
                found = [ready.contained(one, judge.config_id) for one in under]
                self._in_force = ready.in_force.under(tuple(chain.from_iterable(found)))

    @property
    def same_engine(self) -> bool:
        """Whether it means today what it meant then, as far as anybody knows."""
        return self._judge.recorded_revision in ("", self._revision)

    def run(self, regressions: Iterable[Regression], side: Side, at: datetime) -> ProofRun:
        """Every case, in order."""
        return ProofRun(
            side=side,
            config_id=self._judge.config_id,
            config_version=self._judge.name,
            revision=self._revision,
            recorded_revision=self._judge.recorded_revision,
            engine_version=__version__,
            same_engine=self.same_engine,
            at=at,
            cases=tuple(map(self.try_one, regressions)),
            error=self._error,
        )

    def try_one(self, regression: Regression) -> CaseRun:
        """One case, whatever its state."""
        base = CaseRun(regression.id, regression.version, regression.digest, None)
        if self._in_force is None:
            return msgspec.structs.replace(base, why="its configuration cannot be had")
        if regression.lost:
            return msgspec.structs.replace(base, why="its content cannot be had")
        # "skip" is no part of what was approved: nothing gets out of a proof by it.
        case = msgspec.structs.replace(regression.case, skip="")
        located = Located(regression.id, case, "", _NOWHERE)
        self._tried += 1
        return _without_text(base, run_case(self._in_force, located, self._tried))


def _without_text(base: CaseRun, result: CaseResult) -> CaseRun:
    if result.outcome is CaseOutcome.ERROR:
        # What stands behind the colon may quote the case.
        return msgspec.structs.replace(base, why=result.why.partition(":")[0])
    return msgspec.structs.replace(
        base,
        met=result.passed,
        verdict=result.verdict,
        reason_code=result.reason_code,
        policy_name=result.policy_name,
        unmet=tuple(one.field for one in result.mismatches),
    )


def _judged(charge: Charge, met: dict[tuple[Side, str], bool | None]) -> CaseProof:
    one = charge.regression
    red, green = met["red", one.id], met["green", one.id]
    result, sides = _result(red, green, twin=one.kind == "twin")
    return CaseProof(
        regression_id=one.id,
        version=one.version,
        kind=one.kind,
        digest=one.digest,
        result=result,
        red=charge.red.name,
        green=charge.green.name,
        sides=sides,
    )


def _result(
    red: bool | None, green: bool | None, *, twin: bool
) -> tuple[ProofResult, tuple[Side, ...]]:
    sides: tuple[tuple[Side, bool | None], ...] = (("red", red), ("green", green))
    if idle := tuple(side for side, met in sides if met is None):
        return "could_not_run", idle
    if twin:
        broken = tuple(side for side, met in sides if not met)
        return ("twin_broken", broken) if broken else ("proved", ())
    if red:
        return "never_red", ()
    return ("proved", ()) if green else ("still_red", ())
