"""Runs test cases through the gateway's own ``Exchange``: what passes is what production does."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from kintsugi.gateway.in_force import InForce
from kintsugi.model.config import Case, Config, Diagnostic
from kintsugi.model.event import DecisionEvent, ExchangeStatus
from kintsugi.policy.plan import revision
from kintsugi.replay.coverage import measure
from kintsugi.replay.driver import Carried, FactsUnused, carry, put_in_force
from kintsugi.replay.endpoints import CaseUnusable
from kintsugi.replay.results import CaseOutcome, CaseResult, Mismatch, RunReport
from kintsugi.replay.sources import Located
from kintsugi.replay.visible_text import error_message, strings, visible_text


def run_cases(
    config: Config,
    cases: Sequence[Located],
    *,
    pattern: re.Pattern[str] | None = None,
    threshold_percent: float | None = None,
    diagnostics: tuple[Diagnostic, ...] = (),
) -> RunReport:
    """Run the cases whose ``suite/name`` the pattern finds, in order.

    Args:
        diagnostics: of the files that the cases come from, for the report.

    Raises:
        ConfigurationInvalid: the configuration does not compile.
    """
    in_force = put_in_force(config)
    chosen = [c for c in cases if pattern is None or pattern.search(c.id)]
    results = tuple(run_case(in_force, located, number) for number, located in enumerate(chosen, 1))
    coverage = measure(config.chain, results)
    trouble = []
    if all(result.outcome is CaseOutcome.SKIP for result in results):
        trouble.append(_nothing_ran(len(cases), len(chosen)))
    if threshold_percent is not None and coverage.percent < threshold_percent:
        trouble.append(
            f"coverage {coverage.percent:.1f} % is below the threshold of {threshold_percent:g} %"
        )
    return RunReport(
        file=config.file,
        config_version=in_force.config_version,
        revision=revision(config),
        results=results,
        coverage=coverage,
        trouble=tuple(trouble),
        diagnostics=diagnostics,
    )


def run_case(in_force: InForce, located: Located, number: int) -> CaseResult:
    """Run one case on a configuration from ``put_in_force``.

    Args:
        number: of the case in its run; makes its identifiers differ from its neighbours'.
    """
    case = located.case
    base = CaseResult(
        suite=located.suite,
        name=case.name,
        file=located.file,
        position=located.position,
        outcome=CaseOutcome.SKIP,
        expected=case.expected,
        why=case.skip,
    )
    if case.skip:
        return base
    try:
        carried = carry(in_force, case, number)
    except (CaseUnusable, FactsUnused) as error:
        return _could_not_run(base, str(error))
    except Exception as error:  # noqa: BLE001  # outer edge: one broken case must not end the run
        return _could_not_run(base, f"{type(error).__name__}: {error}")
    event = carried.event
    if event is None or event.status is ExchangeStatus.REJECTED:
        return _could_not_run(base, f"the gateway refused the request: {_refusal(carried)}")
    mismatches = tuple(_compare(case, carried, event))
    return msgspec.structs.replace(
        base,
        outcome=CaseOutcome.FAIL if mismatches else CaseOutcome.PASS,
        verdict=event.verdict.value,
        reason_code=event.reason_code,
        policy_name=event.policy_name,
        status=event.status.value,
        http_status=carried.status,
        mismatches=mismatches,
        evaluations=event.evaluations,
    )


def _could_not_run(base: CaseResult, why: str) -> CaseResult:
    return msgspec.structs.replace(base, outcome=CaseOutcome.ERROR, why=why)


def _refusal(carried: Carried) -> str:
    code = carried.event.error if carried.event is not None else ""
    said = error_message(carried.body)
    return ", ".join(part for part in (f"HTTP {carried.status}", code, said) if part)


def _compare(case: Case, carried: Carried, event: DecisionEvent) -> Iterator[Mismatch]:
    expected = case.expected
    for field, wanted, got in (
        ("verdict", expected.verdict, event.verdict.value),
        ("reason_code", expected.reason_code, event.reason_code),
        ("policy", expected.policy, event.policy_name),
    ):
        if wanted is not None and wanted != got:
            yield Mismatch(field, wanted, got or "none")
    answer = visible_text(carried.body, streamed=carried.streamed)
    wanted = expected.response_contains
    if wanted is not None and wanted not in answer:
        yield Mismatch("response_contains", wanted, answer or "an empty answer")
    for field, unwanted, text in (
        ("response_excludes", expected.response_excludes, answer),
        ("request_excludes", expected.request_excludes, "\n".join(strings(carried.sent))),
    ):
        if unwanted is not None and unwanted in text:
            yield Mismatch(field, f"no {unwanted!r}", text)


def _nothing_ran(found: int, chosen: int) -> str:
    if not found:
        return "no case was found; add testing.suites, or tests/*.json beside the configuration"
    if not chosen:
        return f"no case was executed: --run matches none of {found}"
    return f"no case was executed: all {chosen} are skipped"
