"""The record itself: states that the decision was logged, and under which terms."""

from __future__ import annotations

from collections.abc import Sequence

from kintsugi.model.content import Part
from kintsugi.model.decision import Phase
from kintsugi.model.verdict import Verdict
from kintsugi.policy.automata import Sighting
from kintsugi.policy.rule import Detection, OptionInvalid, OptionNote, Rule, RuleKind, RuleOptions


class Options(RuleOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    immutable: records are append-only and hash-chained; this cannot be turned off.
    retention_days: no effect: `kt retention` says how long records are kept.
    hipaa_audit_controls: no effect yet.
    log_all_access: every decision is recorded; this cannot be turned off.
    """

    immutable: bool = True
    retention_days: int = 365
    hipaa_audit_controls: bool = False
    log_all_access: bool = True


def _notes(options: Options) -> Sequence[OptionNote]:
    notes = []
    if not options.immutable:
        notes.append(OptionNote("immutable", "has no effect: records are always append-only"))
    if options.retention_days != Options().retention_days:
        notes.append(
            OptionNote(
                "retention_days", "has no effect: `kt retention` says how long records are kept"
            )
        )
    if options.hipaa_audit_controls:
        notes.append(OptionNote("hipaa_audit_controls", "has no effect yet"))
    if not options.log_all_access:
        notes.append(OptionNote("log_all_access", "has no effect: every decision is recorded"))
    return notes


class AuditRule(Rule):
    """Looks for nothing: that it ran is what it records."""

    clear_reason = "audit.recorded"

    def examine(self, part: Part, sightings: Sequence[Sighting]) -> Sequence[Detection]:  # noqa: ARG002
        """Never called: there are no patterns."""
        return ()


def build(options: Options, phase: Phase) -> Rule:  # noqa: ARG001
    """The rule for the audit phase."""
    if not 1 <= options.retention_days <= 36_500:
        raise OptionInvalid(
            "retention_days", f"{options.retention_days} is out of range", "use 1 to 36500"
        )
    return AuditRule()


KIND = RuleKind(
    name="audit-logger",
    title="Audit record",
    options=Options,
    phases=(Phase.AUDIT,),
    default_action=Verdict.ALLOW,
    actions=(Verdict.ALLOW,),
    reasons=("audit.recorded",),
    detector_version=1,
    message="The decision is on record.",
    method="Leaves one evaluation per decision. The journal records decisions with or without it.",
    cost="None.",
    limits=("How long records are kept is said with `kt retention`, for all configurations.",),
    build=build,
    notes=_notes,
)
