"""Judge an exchange. Pure: the same plan, parts and facts always give the same decision."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

from msgspec import structs

from kintsugi.model.content import Edit, ExchangeView, Part
from kintsugi.model.decision import Decision, Evaluation, Finding, Mode, Phase
from kintsugi.model.facts import Facts, Need
from kintsugi.model.transform import Transform
from kintsugi.model.verdict import Verdict
from kintsugi.policy.automata import Automaton, Sighting
from kintsugi.policy.encodings import readings
from kintsugi.policy.normalise import Layer
from kintsugi.policy.plan import PASSED, PhasePlan, Plan, RuleInForce
from kintsugi.policy.redaction import marker
from kintsugi.policy.rule import Detection, Observation, Rule, RuleOptions

RULE_ERROR = "rule.error"
# Findings listed per policy and decision. More are still acted upon; an event that lists fifty
# thousand addresses helps nobody and could be made to fill the disk.
FINDINGS_MAX = 256

_NOTHING = Decision(verdict=Verdict.ALLOW, reason_code=PASSED)


def decide(plan: Plan, phase: Phase, exchange: ExchangeView, facts: Facts) -> Decision:
    """Judge what one phase looks at. The strictest effective verdict wins; of equals, the first
    policy of the chain.

    Never raises: a rule that fails gives its ``on_error`` verdict.
    """
    decision = _decide(plan.phases.get(phase), phase, exchange, facts)
    for overlay in plan.overlays:
        if phase in overlay.phases:
            decision = joined(_decide(overlay.phases[phase], phase, exchange, facts), decision)
    return decision


def joined(first: Decision, second: Decision) -> Decision:
    """One decision of two: the strictest verdict, of equals the first's; what both ask for is
    done, as far as the verdict lets the exchange go on."""
    leading, other = (
        (second, first) if second.verdict.strictness > first.verdict.strictness else (first, second)
    )
    targets = leading.target_ids
    if other.target_ids is not None:
        targets = _both(targets, other.target_ids)
    return structs.replace(
        leading,
        evaluations=first.evaluations + second.evaluations,
        edits=tuple(_apart(second.edits, first.edits)),
        masks=tuple(_apart(second.masks, first.masks)),
        transforms=first.transforms + second.transforms,
        target_ids=targets,
    )


def _apart(some: Sequence[Edit], others: Sequence[Edit]) -> Iterator[Edit]:
    """Both, in order of path and place, without those that another one reaches into."""
    if not some or not others:
        yield from some or others
        return
    last: Edit | None = None
    for edit in sorted((*some, *others), key=lambda edit: (edit.path, edit.start, -edit.end)):
        if last is not None and last.path == edit.path and edit.start < last.end:
            if edit.end > last.end:
                last = structs.replace(last, end=edit.end)
            continue
        if last is not None:
            yield last
        last = edit
    if last is not None:
        yield last


def _decide(
    in_force: PhasePlan | None, phase: Phase, exchange: ExchangeView, facts: Facts
) -> Decision:
    if in_force is None:
        return _NOTHING
    try:
        seen = _look(in_force, exchange.parts)
        if not seen and not (in_force.judges and exchange.complete):
            return in_force.clear
        return _judge(in_force, phase, seen, exchange, facts)
    except Exception as error:  # noqa: BLE001  # the outer edge: no failure may open the gate
        return _failed(in_force, phase, error)


def needs(plan: Plan, phase: Phase, exchange: ExchangeView, facts: Facts) -> tuple[Need, ...]:
    """What must be counted or asked before ``decide`` is called for this phase, without repeats.

    A rule that fails here will miss its fact and fail in ``decide``, where that has its verdict.
    """
    found: dict[str, Need] = {}
    for rule in _asking(plan, phase):
        try:
            found.update((need.key, need) for need in rule.rule.needs(exchange, facts))
        except Exception:  # noqa: BLE001, S112  # see above: recorded by decide
            continue
    return tuple(found.values())


def settlements(plan: Plan, phase: Phase, exchange: ExchangeView, facts: Facts) -> dict[str, float]:
    """What was really used, by key, of the needs of this phase that settle.

    Args:
        exchange: as the phase saw it, with the tokens that upstream told.

    Returns:
        Nothing for a need whose estimate stands, also because its rule failed.
    """
    used: dict[str, float] = {}
    for rule in _asking(plan, phase):
        try:
            used.update(rule.rule.settle(exchange, facts))
        except Exception:  # noqa: BLE001, S112  # the exchange is over; the estimate stands
            continue
    return used


def _asking(plan: Plan, phase: Phase) -> Iterator[RuleInForce]:
    for one in (*plan.overlays, plan):
        if phase in one.phases:
            yield from one.phases[phase].asks


def settled(plan: Plan, part: Part, decision: Decision) -> int:
    """Up to which character a streaming window is final, given the decision on it.

    More text can no longer change any finding before that place, none reaches across it, and the
    next window may start there, keeping ``plan.context_chars`` before it.

    Raises:
        ValueError: the plan needs whole answers.
    """
    if plan.hold_chars is None:
        raise ValueError("a rule of this plan needs the whole answer; buffer it")
    place = max(len(part.text) - plan.hold_chars, part.start)
    spans = [(edit.start, edit.end) for edit in decision.masks if edit.path == part.path]
    spans += [
        (finding.offset, finding.offset + finding.length)
        for evaluation in decision.evaluations
        for finding in evaluation.findings
        if finding.path == part.path
    ]
    for start, end in sorted(spans, reverse=True):
        if start < place < end:
            place = start
    return place


class _Seen(NamedTuple):
    """A part, and per rule (by position) the layers in which patterns of it were seen."""

    part: Part
    sightings: dict[int, list[Sighting]]


def _look(in_force: PhasePlan, parts: Sequence[Part]) -> list[_Seen]:
    automaton = in_force.automaton
    seen: list[_Seen] = []
    if automaton is None:
        return seen
    for part in parts:
        data = part.text.encode("utf-8", "replace")
        hits = automaton.search(data)
        if not hits and len(data) == len(part.text) and not in_force.readers:
            continue  # plain ASCII with nothing in it: the common case
        sightings: dict[int, list[Sighting]] = {}
        for layer, found in readings(part.text, hits, automaton, decodes=in_force.decodes):
            _note(in_force, automaton, part, layer, found, sightings)
        if sightings:
            seen.append(_Seen(part, sightings))
    return seen


def _note(
    in_force: PhasePlan,
    automaton: Automaton,
    part: Part,
    layer: Layer,
    hits: list[int],
    sightings: dict[int, list[Sighting]],
) -> None:
    by_rule: dict[int, list[int]] = {reader: [] for reader in in_force.readers}
    for hit in hits:
        owner = in_force.owners[hit]
        if owner >= 0:
            by_rule.setdefault(owner, []).append(hit)
    for owner, own_hits in by_rule.items():
        rule = in_force.rules[owner]
        if rule.rule.reads(part, layer):
            sighting = Sighting(
                automaton,
                layer,
                tuple(sorted(hit - rule.first_pattern for hit in own_hits)),
                first=rule.first_pattern,
                start=layer.first_from(part.start),
            )
            sightings.setdefault(owner, []).append(sighting)


def _judge(
    in_force: PhasePlan,
    phase: Phase,
    seen: Sequence[_Seen],
    exchange: ExchangeView,
    facts: Facts,
) -> Decision:
    evaluations: list[Evaluation] = []
    transforms: list[Transform] = []
    target_ids: tuple[str, ...] | None = None
    spans: list[_Spot] = []
    blocked_by = ""
    deciding: Evaluation | None = None
    options: RuleOptions | None = None
    message = ""
    retry_after_seconds = 0.0
    for position, rule in enumerate(in_force.rules):
        if blocked_by:
            evaluations.append(_skipped(rule, phase, blocked_by))
            continue
        judged = _evaluate(rule, position, phase, seen, exchange, facts)
        evaluation = judged.evaluation
        evaluations.append(evaluation)
        spans.extend(judged.spots)
        verdict = evaluation.effective
        if judged.target_ids is not None and rule.mode is Mode.ENFORCE:
            target_ids = _both(target_ids, judged.target_ids)
        if verdict is Verdict.TRANSFORM:
            own = (rule.options.transform,) if rule.options.transform else ()
            transforms.extend(judged.transforms or own)
        if verdict is Verdict.BLOCK:
            blocked_by = rule.kind.name
        if deciding is None or verdict.strictness > deciding.effective.strictness:
            deciding, message = evaluation, rule.rule.message or rule.kind.message
            retry_after_seconds = judged.retry_after_seconds
            options = rule.options
    if target_ids is None and all(
        evaluation is rule.clear
        for evaluation, rule in zip(evaluations, in_force.rules, strict=True)
    ):
        return in_force.clear
    order = {part.path: index for index, part in enumerate(exchange.parts)}
    edits = _edits([spot for spot in spans if spot.edits], order)
    masks = _edits([spot for spot in spans if spot.masks], order)
    if deciding is None or deciding.effective is Verdict.ALLOW:
        return Decision(
            Verdict.ALLOW,
            PASSED,
            evaluations=tuple(evaluations),
            masks=masks,
            target_ids=target_ids,
        )
    verdict = deciding.effective
    return Decision(
        verdict=verdict,
        reason_code=deciding.reason_code,
        policy_name=deciding.policy_name,
        message=message if deciding.outcome == "matched" else "A policy could not be evaluated.",
        evaluations=tuple(evaluations),
        edits=edits,
        masks=masks,
        transforms=tuple(transforms),
        quarantine=options.quarantine if options and verdict is Verdict.QUARANTINE else None,
        escalation=options.escalation if options and verdict is Verdict.ESCALATE else None,
        target_ids=target_ids,
        retry_after_seconds=retry_after_seconds,
    )


def _both(some: tuple[str, ...] | None, others: tuple[str, ...]) -> tuple[str, ...]:
    """What both lists hold, in the order of the first."""
    return others if some is None else tuple(name for name in some if name in others)


class _Judged(NamedTuple):
    """What one rule finds, what that hides, the targets that it leaves, what it changes, when to
    try again."""

    evaluation: Evaluation
    spots: Sequence[_Spot]
    target_ids: tuple[str, ...] | None = None
    transforms: Sequence[Transform] = ()
    retry_after_seconds: float = 0.0


def _evaluate(
    rule: RuleInForce,
    position: int,
    phase: Phase,
    seen: Sequence[_Seen],
    exchange: ExchangeView,
    facts: Facts,
) -> _Judged:
    findings: list[Finding] = []
    spots: list[_Spot] = []
    target_ids: tuple[str, ...] | None = None
    transforms: list[Transform] = []
    retry_after_seconds = 0.0
    notes = 0
    for part, sightings in seen:
        if position not in sightings:
            continue
        try:
            detections = rule.rule.examine(part, sightings[position])
            for found in _outermost(rule.rule, part, detections):
                findings.append(_finding(rule, part, found, facts))
                spots.append(_spot(rule, part, found))
        except Exception as error:  # noqa: BLE001  # a broken rule must not become an open door
            return _Judged(_error(rule, phase, error, findings), spots)
    if rule.rule.judges and exchange.complete:
        try:
            for observed in rule.rule.judge(exchange, facts):
                findings.append(_observed(rule, exchange, observed, facts))
                notes += observed.note
                spots.extend(_observed_spot(rule, exchange, observed))
                if observed.target_ids is not None:
                    target_ids = _both(target_ids, observed.target_ids)
                if observed.transform is not None:
                    transforms.append(observed.transform)
                retry_after_seconds = max(retry_after_seconds, observed.retry_after_seconds)
        except Exception as error:  # noqa: BLE001  # the same edge
            return _Judged(_error(rule, phase, error, findings), spots)
    if len(findings) == notes:
        listed = _listed(rule, findings) if findings else ()
        return _Judged(
            structs.replace(rule.clear, findings=listed) if listed else rule.clear, spots
        )
    strictest = max(findings, key=lambda finding: (finding.verdict.strictness, finding.score))
    omitted = len(findings) - FINDINGS_MAX
    return _Judged(
        Evaluation(
            policy_name=rule.kind.name,
            phase=phase,
            mode=rule.mode,
            outcome="matched",
            verdict=strictest.verdict,
            reason_code=strictest.reason_code,
            findings=_listed(rule, findings),
            why=f"{omitted} more findings not listed" if omitted > 0 else "",
        ),
        spots,
        target_ids,
        transforms,
        retry_after_seconds,
    )


class _Found(NamedTuple):
    """A detection with its span in the original text."""

    start: int
    end: int
    detection: Detection


def _outermost(rule: Rule, part: Part, detections: Sequence[Detection]) -> list[_Found]:
    """In order of place, without those inside another one and those before the window."""
    found = [_Found(*seen.layer.origin(seen.start, seen.end), seen) for seen in detections]
    found.sort(key=lambda one: (one.start, -one.end))
    kept: list[_Found] = []
    reach: dict[str, int] = {}
    for one in found:
        scope = "" if rule.exclusive else one.detection.rule
        if one.start >= part.start and one.end > reach.get(scope, -1):
            kept.append(one)
            reach[scope] = one.end
    return kept


def _finding(rule: RuleInForce, part: Part, found: _Found, facts: Facts) -> Finding:
    seen = found.detection
    matched = seen.layer.text[seen.start : seen.end].encode("utf-8", "replace")
    key = facts.fingerprint_key[:64]
    return Finding(
        rule=seen.rule,
        reason_code=seen.reason_code,
        verdict=rule.action,
        path=part.path,
        offset=found.start,
        length=found.end - found.start,
        # Without a key there is none: an unkeyed digest of a short secret gives the secret away.
        fingerprint=blake2b(matched, digest_size=8, key=key).hexdigest() if key else "",
        score=seen.score,
        layer=seen.layer.name,
        detail=seen.detail,
    )


def _observed(
    rule: RuleInForce, exchange: ExchangeView, observed: Observation, facts: Facts
) -> Finding:
    """An observation as evidence keeps it."""
    part = _part_at(exchange, observed.path) if observed.end > observed.start else None
    matched = part.text[observed.start : observed.end].encode("utf-8", "replace") if part else b""
    key = facts.fingerprint_key[:64] if matched else b""
    return Finding(
        rule=observed.rule,
        reason_code=observed.reason_code,
        verdict=Verdict.ALLOW if observed.note else observed.verdict or rule.action,
        path=observed.path,
        offset=observed.start,
        length=observed.end - observed.start,
        fingerprint=blake2b(matched, digest_size=8, key=key).hexdigest() if key else "",
        score=observed.score,
        detail=observed.detail,
    )


def _observed_spot(rule: RuleInForce, exchange: ExchangeView, observed: Observation) -> list[_Spot]:
    """The span of an observation, where it has one."""
    part = _part_at(exchange, observed.path) if observed.end > observed.start else None
    if part is None or observed.note:
        return []
    verdict = observed.verdict or rule.action
    edits = verdict is Verdict.REDACT and rule.mode is Mode.ENFORCE
    masks = edits or rule.kind.sensitive
    return [_Spot(part, observed.start, observed.end, rule, observed.rule, edits, masks, True)]


def _part_at(exchange: ExchangeView, path: str) -> Part | None:
    return next((part for part in exchange.parts if part.path == path), None)


def _listed(rule: RuleInForce, findings: Sequence[Finding]) -> tuple[Finding, ...]:
    if rule.rule.redaction.include_metadata:
        return tuple(findings[:FINDINGS_MAX])
    counts: dict[tuple[str, str], int] = {}
    for finding in findings:
        key = (finding.rule, finding.reason_code)
        counts[key] = counts.get(key, 0) + 1
    return tuple(
        Finding(rule=name, reason_code=code, verdict=rule.action, detail=f"{count} found")
        for (name, code), count in counts.items()
    )


def _skipped(rule: RuleInForce, phase: Phase, blocked_by: str) -> Evaluation:
    return Evaluation(
        policy_name=rule.kind.name,
        phase=phase,
        mode=rule.mode,
        outcome="skipped",
        verdict=Verdict.ALLOW,
        why=f"blocked by {blocked_by}",
    )


def _error(
    rule: RuleInForce, phase: Phase, error: Exception, findings: Sequence[Finding] = ()
) -> Evaluation:
    """What a rule that raised leaves: its own verdict for that, or that of what it had found
    before, whichever is stricter. Never the error's text, which may quote the exchange."""
    verdicts = (rule.on_error, *(finding.verdict for finding in findings))
    return Evaluation(
        policy_name=rule.kind.name,
        phase=phase,
        mode=rule.mode,
        outcome="error",
        verdict=max(verdicts, key=lambda verdict: verdict.strictness),
        reason_code=RULE_ERROR,
        findings=_listed(rule, findings),
        why=type(error).__name__,
    )


def _failed(in_force: PhasePlan, phase: Phase, error: Exception) -> Decision:
    evaluations = tuple(_error(rule, phase, error) for rule in in_force.rules)
    strictest = max(evaluations, key=lambda evaluation: evaluation.effective.strictness)
    return Decision(
        verdict=strictest.effective,
        reason_code=RULE_ERROR,
        policy_name=strictest.policy_name,
        message="A policy could not be evaluated.",
        evaluations=evaluations,
    )


class _Spot(NamedTuple):
    """A span of a part to be replaced.

    Attributes:
        edits: in the exchange itself.
        masks: in what evidence shows.
        exact: whether the span is the thing itself rather than an encoding of it.
    """

    part: Part
    start: int
    end: int
    rule: RuleInForce
    name: str
    edits: bool
    masks: bool
    exact: bool


def _spot(rule: RuleInForce, part: Part, found: _Found) -> _Spot:
    edits = rule.action is Verdict.REDACT and rule.mode is Mode.ENFORCE
    return _Spot(
        part=part,
        start=found.start,
        end=found.end,
        rule=rule,
        name=found.detection.rule,
        edits=edits,
        masks=edits or rule.kind.sensitive,
        exact=found.detection.layer.name in ("plain", "folded"),
    )


_STRING = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\Z)', re.DOTALL)


def _edits(spots: Sequence[_Spot], order: Mapping[str, int]) -> tuple[Edit, ...]:
    """Replacements by part and place; what overlaps becomes one, under the first one's name."""
    edits: list[Edit] = []
    outside: dict[str, Callable[[int], bool]] = {}
    ordered = sorted(spots, key=lambda spot: (order[spot.part.path], spot.start, -spot.end))
    index = 0
    while index < len(ordered):
        first = ordered[index]
        end = first.end
        index += 1
        while (
            index < len(ordered)
            and ordered[index].part.path == first.part.path
            and ordered[index].start < end
        ):
            end = max(end, ordered[index].end)
            index += 1
        text = marker(
            first.rule.rule.redaction,
            first.name,
            first.part.text[first.start : end],
            exact=first.exact and end == first.end,
        )
        if first.part.kind == "tool_call":
            if first.part.path not in outside:
                outside[first.part.path] = _outside_strings(first.part.text)
            text = f'"{text}"' if outside[first.part.path](first.start) else text
        edits.append(Edit(first.part.path, first.start, end, text))
    return tuple(edits)


def _outside_strings(arguments: str) -> Callable[[int], bool]:
    """For JSON text: whether a place is not inside a string, as a bare number is not. A marker
    put there needs quotes of its own, or the tool call no longer parses."""
    if not arguments.lstrip().startswith(("{", "[")):
        return lambda _: False  # a window that does not begin at the beginning: cannot be told
    strings = [match.span() for match in _STRING.finditer(arguments)]
    starts = [start for start, _ in strings]

    def outside(offset: int) -> bool:
        before = bisect_right(starts, offset) - 1
        return before < 0 or offset >= strings[before][1]

    return outside
