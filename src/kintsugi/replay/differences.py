"""What came out otherwise in a replay, and why: which rules found what, then and now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Final

import msgspec

from kintsugi.model.config import Config
from kintsugi.model.decision import Evaluation, Finding, Mode, Phase
from kintsugi.model.event import DecisionEvent

_NAMED_MAX: Final = 5
_CHARS_MAX: Final = 200


class ReplayDifference(msgspec.Struct, frozen=True):
    """One thing that came out otherwise.

    Attributes:
        field: ``verdict``, ``reason_code``, ``policy_name``, ``changes``, ``escalation``,
            ``quarantine``, or a policy in a phase: ``pii-detector (input)``.
        why: which rules found what at one of the two times only, and which settings of the policy
            were others then; empty where neither tells.
    """

    field: str
    recorded: str
    replayed: str
    why: str = ""


def differences(
    recorded: DecisionEvent,
    again: DecisionEvent,
    phases: Collection[Phase],
    *,
    ended: bool,
    before: Config | None = None,
    now: Config | None = None,
) -> Iterator[ReplayDifference]:
    """What came out otherwise.

    Args:
        phases: those that could be judged again.
        ended: what came of the exchange as a whole can be compared.
        before, now: the configurations that it was judged by, to say what changed between them.
    """
    if ended or _phase_of(recorded) in phases:
        for field, then, today in _outcomes(recorded, again, whole=ended):
            if then != today:
                yield ReplayDifference(field, then or "none", today or "none")
    before_by, after_by = _by_place(recorded, phases), _by_place(again, phases)
    for place in {**before_by, **after_by}:
        then_all, now_all = before_by.get(place, ()), after_by.get(place, ())
        if [_outcome(one) for one in then_all] != [_outcome(one) for one in now_all]:
            reasons = [*_found(then_all, now_all), *_settings(place, before, now)]
            yield ReplayDifference(place, _told(then_all), _told(now_all), "; ".join(reasons))


def _outcomes(
    recorded: DecisionEvent, again: DecisionEvent, *, whole: bool
) -> Iterator[tuple[str, str, str]]:
    yield "verdict", recorded.verdict.value, again.verdict.value
    yield "reason_code", recorded.reason_code, again.reason_code
    yield "policy_name", recorded.policy_name, again.policy_name
    if whole:
        yield "changes", _changes(recorded), _changes(again)
        yield "escalation", _escalation(recorded), _escalation(again)
        yield "quarantine", _quarantine(recorded), _quarantine(again)
        yield "fail_open", str(recorded.fail_open).lower(), str(again.fail_open).lower()


def _changes(event: DecisionEvent) -> str:
    return "; ".join(
        f"{one.policy_name} ({one.phase.value}) {one.kind} {one.detail}".rstrip()
        for one in event.changes
    )


def _escalation(event: DecisionEvent) -> str:
    return event.escalation.phase.value if event.escalation is not None else ""


def _quarantine(event: DecisionEvent) -> str:
    return event.quarantine.scope if event.quarantine is not None else ""


def _phase_of(event: DecisionEvent) -> Phase | None:
    """Where the verdict came from; None where nothing was found."""
    for one in event.evaluations:
        if one.policy_name == event.policy_name and one.effective is event.verdict:
            return one.phase
    return None


def _by_place(event: DecisionEvent, phases: Collection[Phase]) -> dict[str, tuple[Evaluation, ...]]:
    found: dict[str, tuple[Evaluation, ...]] = {}
    for one in event.evaluations:
        if one.phase in phases:
            place = f"{one.policy_name} ({one.phase.value})"
            found[place] = (*found.get(place, ()), one)
    return found


def _plain(finding: Finding) -> Finding:
    """Without its fingerprint, which is made with the gateway's own key."""
    return msgspec.structs.replace(finding, fingerprint="") if finding.fingerprint else finding


def _outcome(one: Evaluation) -> tuple[object, ...]:
    """What has to be the same."""
    findings = tuple(_plain(finding) for finding in one.findings)
    return one.mode, one.outcome, one.verdict, one.reason_code, findings


def _told(evaluations: Sequence[Evaluation]) -> str:
    return "; ".join(map(_words, evaluations)) or "not there"


def _words(one: Evaluation) -> str:
    words: list[str] = [one.outcome]
    if one.outcome == "matched":
        words += [one.verdict.value, one.reason_code]
    if one.mode is Mode.MONITOR:
        words.append("monitored")
    if one.findings:
        words.append(f"{len(one.findings)} findings")
    if one.why and one.outcome in ("skipped", "error"):
        words.append(f"({one.why})")
    return " ".join(words)


def _found(then_all: Sequence[Evaluation], now_all: Sequence[Evaluation]) -> Iterator[str]:
    """What rules found at one of the two times only."""
    then = Counter(_plain(one) for evaluation in then_all for one in evaluation.findings)
    now = Counter(_plain(one) for evaluation in now_all for one in evaluation.findings)
    gone, new = [*(then - now).elements()], [*(now - then).elements()]
    by_span = {_span(one): one for one in new}
    for one in list(gone):
        other = by_span.get(_span(one))
        if other is not None:
            gone.remove(one)
            new.remove(by_span.pop(_span(one)))
            yield f"{_where(one)} was {_judged(one)}, is {_judged(other)}"
    for when, findings in (("then", gone), ("now", new)):
        if findings:
            named = ", ".join(f"{_where(one)} {_judged(one)}" for one in findings[:_NAMED_MAX])
            more = f" and {len(findings) - _NAMED_MAX} more" if len(findings) > _NAMED_MAX else ""
            yield f"found only {when}: {named}{more}"


def _span(finding: Finding) -> tuple[str, str, int, int]:
    return finding.rule, finding.path, finding.offset, finding.length


def _where(finding: Finding) -> str:
    if not finding.path:
        return finding.rule
    end = finding.offset + finding.length
    span = f" {finding.offset}-{end}" if finding.length else ""
    return f"{finding.rule} at {finding.path}{span}"


def _judged(finding: Finding) -> str:
    layer = "" if finding.layer == "plain" else f", {finding.layer}"
    return f"{finding.verdict.value} {finding.reason_code} (score {finding.score:.2f}{layer})"


def _settings(place: str, before: Config | None, now: Config | None) -> Iterator[str]:
    """The settings of a policy that are others in one of two configurations."""
    if before is None or now is None or before is now:
        return
    name = place.rpartition(" (")[0]
    then, today = _options(before, name), _options(now, name)
    if then is None or today is None:
        if (then is None) is not (today is None):
            yield f"{name} was {_in_chain(then)}, is {_in_chain(today)}"
        return
    for key in sorted({*then, *today}):
        if then.get(key) != today.get(key):
            yield f"policy.{name}.{key} was {_value(then.get(key))}, is {_value(today.get(key))}"


def _in_chain(options: object) -> str:
    return "not in the chain" if options is None else "in the chain"


def _options(config: Config, name: str) -> dict[str, object] | None:
    found = next((one for one in config.chain if one.kind == name), None)
    if found is None:
        return None
    told = msgspec.to_builtins(found.options)
    return dict(told) if isinstance(told, dict) else {}


def _value(value: object) -> str:
    text = msgspec.json.encode(value).decode() if value is not None else "not set"
    return text if len(text) <= _CHARS_MAX else text[:_CHARS_MAX] + "…"
