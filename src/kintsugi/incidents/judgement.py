"""What people find: triage, severity, categories, verdicts, cause; and what they vouch for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from kintsugi.errors import InvalidInput
from kintsugi.incidents.commands import (
    Act,
    changed,
    entry,
    in_command,
    refuse,
    still_open,
    wanted_reason,
)
from kintsugi.incidents.gates import ATTESTABLE, CAUSE_PARTS
from kintsugi.incidents.hypotheses import hypothesis_of
from kintsugi.incidents.severity import ORDER, compute, duties_of
from kintsugi.incidents.taxonomies import CATEGORIES, known_label
from kintsugi.model.blocker import Blocker
from kintsugi.model.incident import (
    Assessment,
    Attestation,
    Cause,
    CausePart,
    Change,
    Gate,
    Incident,
    SeverityOverride,
    Triage,
    Verdicts,
    Waiver,
)
from kintsugi.model.signal import Severity

# "The model hallucinated" describes what happened; it is no cause (seed 002).
_LAZY: Final = frozenset(
    (
        *("a", "again", "ai", "agent", "all", "answer", "answers", "are", "assistant", "bad"),
        *("bias", "biased", "did", "do", "does", "had", "has", "hallucinate", "hallucinated"),
        *("hallucinates", "hallucinating", "hallucination", "i", "is", "it", "just", "lied"),
        *("llm", "made", "model", "models", "output", "prompted", "simply", "so", "something"),
        *("that", "the", "this", "unpredictable", "up", "user", "very", "was", "weird", "weirdly"),
        *("were", "wrong"),
    )
)


def triaged(incident: Incident, answers: Triage, act: Act) -> Change:
    """Answer the triage questions; an answer can be revised until the incident has ended."""
    still_open(incident, f"answer for {incident.reference}")
    before, after = _shown(incident.triage), _shown(answers)
    told = entry(incident, "triage", "triage answered", act, detail={"before": before, **after})
    return changed(incident, [told], act, triage=answers)


def assessed(incident: Incident, factors: Mapping[str, int], act: Act) -> Change:
    """Score the factors; an override, if there is one, stays. Lowering the severity is the
    commander's.

    Raises:
        Blocked: not in command.
    """
    still_open(incident, f"assess {incident.reference}")
    severity, steps = compute(factors)
    if incident.override is None and _is_lower(severity, incident.severity):
        refuse(f"lower the severity of {incident.reference}", in_command(incident, act))
    assessment = Assessment(dict(factors), severity, steps, act.actor.reference, act.now)
    told = entry(
        incident,
        "severity",
        f"severity assessed: {severity}",
        act,
        detail={
            "before": incident.severity,
            "after": severity,
            "factors": dict(factors),
            "steps": list(steps),
        },
    )
    severest = _severest(incident, severity)
    return changed(incident, [told], act, assessment=assessment, severest=severest)


def overridden(incident: Incident, severity: Severity | None, act: Act) -> Change:
    """Put a person's severity in place of the computed one; None takes an override back.

    Anyone who responds may raise it. Lowering it is the commander's.

    Raises:
        Blocked: with everything that stands in the way.
    """
    still_open(incident, f"override the severity of {incident.reference}")
    found = wanted_reason(act)
    before = incident.severity
    computed = incident.assessment.severity if incident.assessment else None
    after = severity or computed
    if before is not None and (after is None or _is_lower(after, before)):
        found += in_command(incident, act)
    refuse("override the severity", found)
    override = (
        SeverityOverride(severity, act.reason, act.actor.reference, act.now) if severity else None
    )
    told = entry(
        incident,
        "severity",
        f"severity overridden: {severity}" if severity else "severity is the computed one again",
        act,
        detail={"before": before, "after": after, "computed": computed},
    )
    return changed(incident, [told], act, override=override, severest=_severest(incident, after))


def judged(incident: Incident, verdicts: Verdicts, act: Act) -> Change:
    """Give one verdict or both; what is left out stays as it was.

    Raises:
        Blocked: a near miss without what caught it.
    """
    still_open(incident, f"judge {incident.reference}")
    before = incident.verdicts
    after = Verdicts(
        verdicts.enforcement or before.enforcement,
        verdicts.harm or before.harm,
        verdicts.caught_by or before.caught_by,
        verdicts.caught_how or before.caught_how,
    )
    found = []
    if after.harm == "near_miss" and after.caught_by is None:
        found.append(
            Blocker(
                "caught_by",
                "caught_by",
                "say what caught the near miss",
                "designed_control, unplanned_human or chance",
            )
        )
    if after.harm == "near_miss" and not after.caught_how.strip():
        found.append(Blocker("caught_how", "caught_how", "say how it was caught", "in a sentence"))
    if after.enforcement == "over_block" and after.harm == "none":
        found.append(
            Blocker(
                "harm",
                "over_block_is_harm",
                "blocking what was right is harm to whoever was blocked",
                "harm: harm, or near_miss where nobody was affected",
            )
        )
    refuse("judge it", found)
    words = ", ".join(
        filter(
            None,
            (
                f"enforcement was {after.enforcement}" if after.enforcement else "",
                f"harm: {after.harm}" if after.harm else "",
            ),
        )
    )
    told = entry(
        incident, "verdict", words, act, detail={"before": _shown(before), **_shown(after)}
    )
    return changed(incident, [told], act, verdicts=after)


def classified(
    incident: Incident, categories: Sequence[str], labels: Sequence[str], act: Act
) -> Change:
    """Put it into categories, and under labels of public taxonomies (``owasp_llm:LLM01:2025``).

    Raises:
        InvalidInput: a category or label that is not known.
    """
    still_open(incident, f"classify {incident.reference}")
    for category in categories:
        if category not in CATEGORIES:
            known = ", ".join(CATEGORIES)
            raise InvalidInput(f'categories: there is no "{category}"; known: {known}')
    for label in labels:
        known_label(label)
    told = entry(
        incident,
        "category",
        f"classified: {', '.join(categories) or 'nothing'}",
        act,
        detail={
            "before": list(incident.categories),
            "categories": list(categories),
            "labels_before": list(incident.labels),
            "labels": list(labels),
        },
    )
    return changed(
        incident,
        [told],
        act,
        categories=tuple(dict.fromkeys(categories)),
        labels=tuple(dict.fromkeys(labels)),
    )


def explained(
    incident: Incident,
    part: CausePart,
    text: str,
    confidence: str,
    act: Act,
    *,
    evidence: Sequence[str] = (),
    hypotheses: Sequence[int] = (),
) -> Change:
    """Give one part of the five-part cause.

    Args:
        evidence: what shows it; ``hypotheses``: numbers of those that it rests on.

    Raises:
        InvalidInput: a description in place of a cause, an unknown part, or a hypothesis that
            there is not or that was rejected.
    """
    still_open(incident, f"explain {incident.reference}")
    if part not in CAUSE_PARTS:
        raise InvalidInput(f"part: use one of {', '.join(CAUSE_PARTS)}")
    if confidence not in ("known", "potential"):
        raise InvalidInput("confidence: known or potential")
    if set(re.findall(r"\w+", text.lower())) <= _LAZY:
        raise InvalidInput(
            f"text: {text.strip()!r} describes what happened; say what in the design, the checks "
            "or the organisation let it happen"
        )
    for number in hypotheses:
        if hypothesis_of(incident, number).state == "rejected":
            raise InvalidInput(f"hypotheses: H{number} was rejected; a cause cannot rest on it")
    given = Cause(
        text.strip(),
        "known" if confidence == "known" else "potential",
        act.actor.reference,
        act.now,
        tuple(dict.fromkeys(one.strip() for one in evidence if one.strip())),
        tuple(dict.fromkeys(hypotheses)),
    )
    before = incident.cause.get(part)
    told = entry(
        incident,
        "cause",
        f"{part.replace('_', ' ')} ({confidence}): {text.strip()}",
        act,
        detail={
            "part": part,
            "before": before.text if before else "",
            "evidence": list(given.evidence),
            "hypotheses": list(given.hypotheses),
        },
    )
    return changed(incident, [told], act, cause={**incident.cause, part: given})


def described(incident: Incident, fields: Mapping[str, Any], act: Act) -> Change:
    """Correct title, summary, decision or times.

    Args:
        fields: of ``title``, ``summary``, ``decision``, ``first_occurred_at``, ``detected_at``.
    """
    still_open(incident, f"describe {incident.reference}")
    new = {name: value for name, value in fields.items() if getattr(incident, name) != value}
    if not str(new.get("title", "x")).strip():
        raise InvalidInput("title: cannot be empty")
    if not new:
        return Change(incident, ())
    before = {name: getattr(incident, name) for name in new}
    told = entry(
        incident,
        "description",
        f"described: {', '.join(name.replace('_', ' ') for name in new)}",
        act,
        detail={"before": before, "after": new},
    )
    return changed(incident, [told], act, **new)


def attested(incident: Incident, gate: Gate, reference: str, act: Act) -> Change:
    """Vouch for a gate that nothing computes yet, naming where the proof lies.

    Raises:
        Blocked: not in command.
        InvalidInput: a gate that is computed, or no reference.
    """
    still_open(incident, f"attest for {incident.reference}")
    if gate not in ATTESTABLE:
        raise InvalidInput(
            f"gate: nobody can vouch for {gate}; only for {', '.join(sorted(ATTESTABLE))}"
        )
    if not reference.strip():
        raise InvalidInput("reference: a digest, an id or an address where the proof lies")
    refuse(f"attest {gate}", in_command(incident, act))
    given = Attestation(gate, reference.strip(), act.actor.reference, act.now, act.reason)
    told = entry(
        incident,
        "attestation",
        f"{gate}: {reference.strip()}",
        act,
        detail={"gate": gate, "reference": reference.strip()},
    )
    return changed(incident, [told], act, attestations=(*incident.attestations, given))


def waived(incident: Incident, gate: Gate, owner: str, expires_at: datetime, act: Act) -> Change:
    """Relax a gate for a time. The one who approves is not the one who answers for it.

    Raises:
        Blocked: with everything that stands in the way.
    """
    still_open(incident, f"waive a gate of {incident.reference}")
    found = [*wanted_reason(act), *in_command(incident, act)]
    if gate not in duties_of(incident.severity).gates:
        found.append(Blocker("gate", "gate", f"{gate} does not apply to this severity"))
    if not owner.strip() or owner.strip() in (act.actor.name, act.actor.reference):
        found.append(
            Blocker("owner", "owner", "somebody else than you has to own it", "name a person")
        )
    if expires_at <= act.now:
        found.append(Blocker("expires_at", "expired", "it would be over already", "a later date"))
    refuse(f"waive {gate}", found)
    given = Waiver(gate, owner.strip(), act.reason, expires_at, act.actor.reference, act.now)
    told = entry(
        incident,
        "waiver",
        f"{gate} waived until {expires_at:%Y-%m-%d}, owned by {owner.strip()}",
        act,
        detail={"gate": gate, "owner": owner.strip(), "expires_at": expires_at},
    )
    return changed(incident, [told], act, waivers=(*incident.waivers, given))


def _is_lower(after: Severity, before: Severity | None) -> bool:
    return before is not None and ORDER.index(after) < ORDER.index(before)


def _severest(incident: Incident, given: Severity | None) -> Severity | None:
    known = (incident.severest, incident.severity, given)
    return max((one for one in known if one is not None), key=ORDER.index, default=None)


def _shown(value: Triage | Verdicts) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__struct_fields__}
