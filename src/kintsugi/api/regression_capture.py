"""How recorded things become regression cases: what they are looked up in, what is read of them on
record, and how each case is tried at once on the configuration that decided."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from kintsugi.api.arrival import arrived
from kintsugi.api.control import Control
from kintsugi.api.proving import Bench
from kintsugi.api.report_intake import events_of
from kintsugi.errors import ConfigurationInvalid, InvalidInput, NotFound
from kintsugi.gateway.in_force import InForce
from kintsugi.incidents.regressions import Deed, through_gate
from kintsugi.model.config import Case, CaseExpected, CaseInput
from kintsugi.model.custody import custody_entry
from kintsugi.model.event import DecisionEvent, Payload
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.incident import Incident
from kintsugi.model.regression import CaseSource, Regression, SourceKind
from kintsugi.model.report import Report
from kintsugi.model.vault import Subject
from kintsugi.replay.capture import Reproduced, case_of, reproduced, that_matter
from kintsugi.replay.case_text import read_case
from kintsugi.replay.compiled import compiled
from kintsugi.replay.decisions import missing_of
from kintsugi.replay.expectations import canonical, expectation
from kintsugi.replay.redaction_gate import FoundSensitive, Gated, gate
from kintsugi.replay.reproduction import run_one
from kintsugi.replay.results import CaseOutcome
from kintsugi.replay.trajectories import EXCHANGES_MAX, run_of

_TRACE: Final = re.compile("[0-9a-f]{32}")
_KINDS: Final = ("event", "escalation", "report", "trajectory", "session", "trace")
# More exchanges of one run are not made into cases at once: somebody looks at each.
_CASES_MAX: Final = 20


class Wanted(msgspec.Struct, frozen=True):
    """What somebody asks for; see ``regressions.NewRegression``."""

    source: str = ""
    text: str = ""
    incident: str = ""
    config: str = ""
    name: str = ""
    expected: CaseExpected = CaseExpected()
    keep: Mapping[str, str] = {}


class Captured(msgspec.Struct, frozen=True):
    """A case that is ready to be kept, and how it came out."""

    regression: Regression
    incident: Incident
    reproduced: bool | None
    red: bool | None
    why: str
    because: str
    found: tuple[FoundSensitive, ...]


class _Source(msgspec.Struct, frozen=True):
    """What a case is made of.

    Attributes:
        events: without payload, oldest first.
    """

    kind: SourceKind
    id: str
    events: tuple[DecisionEvent, ...] = ()
    report: Report | None = None
    incident_id: str = ""


def capture(control: Control, wanted: Wanted, deed: Deed) -> list[Captured]:
    """Cases of a source, not kept yet.

    Raises:
        NotFound: there is no such source.
        NotStoredYet: its gateway has still to ship it.
        InvalidInput: something is missing to make a case of it; the message says what.
        StateConflict: the same case is there already.
    """
    if bool(wanted.source) == bool(wanted.text):
        raise InvalidInput("body: say what to make a case of: from, or text")
    if wanted.text:
        return [_written(control, wanted, deed)]
    source = _source(control, wanted.source)
    incident = _incident(control, wanted, source)
    if not source.events:
        return [_of_report(control, wanted, source, incident, deed)]
    return _of_events(control, wanted, source, incident, deed)


def _source(control: Control, what: str) -> _Source:
    kind, colon, key = what.partition(":")
    if not colon or kind not in _KINDS:
        kind, key = ("trace" if _TRACE.fullmatch(what) else ""), what
    if kind == "trajectory":
        run, key = run_of(arrived(control, key))
        kind = "event" if run == "exchange" else run
    if kind in ("session", "trace"):
        where = EventFilter(session=key) if kind == "session" else EventFilter(trace=key)
        page = control.stores.events.page(where, limit=EXCHANGES_MAX)
        if not page.events:
            raise NotFound(f"no exchange of {kind} {key} is stored")
        return _Source("trajectory", key, tuple(reversed(page.events)))
    if kind in ("", "report"):
        try:
            return _reported(control, key)
        except NotFound:
            if kind:
                raise
    try:
        return _of_event(control, key, kind)
    except NotFound:
        if kind:
            raise
    raise NotFound(
        f'"{what}" is no event, escalation or report that is kept here, and no trace; for a '
        "session write session:ID"
    )


def _of_event(control: Control, key: str, kind: str) -> _Source:
    event = arrived(control, key)
    decided = control.stores.overrides.of(event.id)
    if kind == "escalation" or (not kind and (decided or event.escalation is not None)):
        tied = next((one.incident_id for one in decided if one.incident_id), "")
        return _Source("escalation", event.id, (event,), incident_id=tied)
    return _Source("event", event.id, (event,))


def _reported(control: Control, key: str) -> _Source:
    kept = control.stores.reports.get(key)
    ids = events_of(control, kept.report)[:EXCHANGES_MAX]
    events = sorted(map(control.stores.events.get, ids), key=lambda one: (one.timestamp, one.id))
    return _Source("report", kept.report.id, tuple(events), kept.report, kept.standing.incident_id)


def _incident(control: Control, wanted: Wanted, source: _Source) -> Incident:
    """The incident that is named, or the one that the source is tied to."""
    incidents = control.stores.incidents
    if key := wanted.incident or source.incident_id:
        return incidents.get(key)
    tied = {one.id: one for event in source.events for one in incidents.incidents_of(event.id)}
    if len(tied) == 1:
        return incidents.get(next(iter(tied)))
    names = ", ".join(one.reference for one in tied.values())
    raise InvalidInput(
        f"incident: it is tied to {names}; name one: --incident INC"
        if names
        else "incident: it is tied to none; name the incident that this case is for: --incident INC"
    )


def _of_events(
    control: Control, wanted: Wanted, source: _Source, incident: Incident, deed: Deed
) -> list[Captured]:
    events = source.events
    stated = canonical(wanted.expected)
    if len(events) > 1:
        tied = frozenset(
            one.id
            for one in events
            if any(each.id == incident.id for each in control.stores.incidents.incidents_of(one.id))
        )
        allow = stated.verdict or ("allow" if incident.verdicts.enforcement == "over_block" else "")
        events = tuple(that_matter(events, tied, allow))
    if not events:
        raise InvalidInput(
            f"no exchange of {source.id} was decided otherwise than it should have been; tie the "
            "ones that matter to the incident (kt incidents tie), or name one event"
        )
    if len(events) > _CASES_MAX:
        raise InvalidInput(
            f"{len(events)} exchanges of {source.id} would become cases; at most {_CASES_MAX} at "
            "once: name single events, or tie those that matter to the incident"
        )
    bench = Bench(control.stores)
    courts: dict[tuple[str, str], InForce | str] = {}
    made = []
    for number, found in enumerate(events, 1):
        name = wanted.name or f"{incident.reference}: {found.reason_code or found.verdict.value}"
        if len(events) > 1:
            name = f"{name}, step {number} of {len(events)}"
        made.append(_of_one(control, found, name, wanted, source, incident, deed, bench, courts))
    return made


def _of_one(
    control: Control,
    found: DecisionEvent,
    name: str,
    wanted: Wanted,
    source: _Source,
    incident: Incident,
    deed: Deed,
    bench: Bench,
    courts: dict[tuple[str, str], InForce | str],
) -> Captured:
    event = control.stores.events.get(found.id)
    told = expectation(
        wanted.expected,
        event=event,
        overrides=tuple(control.stores.overrides.of(event.id)),
        enforcement=incident.verdicts.enforcement,
    )
    payload = payload_for_gate(control, event, deed)
    draft = Regression(
        id="",
        version=0,
        kind="case",
        state="proposed",
        incident_id=incident.id,
        config_id=event.config_version.rpartition("@")[0],
        case=Case(name, CaseInput(), told.expected),
        source=CaseSource(source.kind, source.id, event.id, event.config_version, event.revision),
        created_at=deed.now,
        created_by=deed.by,
        changed_at=deed.now,
        changed_by=deed.by,
        subject=str(Subject.of(event)),
    )
    court = _court(bench, draft, incident, courts)
    gated, again = _best(event, payload, name, told.expected, wanted.keep, court)
    one = through_gate(draft, gated, wanted.keep, deed)
    control.stores.regressions.require_new(one)
    red, why = _tried(one.case, court)
    return Captured(
        regression=one,
        incident=incident,
        reproduced=again.yes if not isinstance(court, str) else None,
        red=red,
        why=again.why or why,
        because=told.because,
        found=gated.found,
    )


def _best(
    event: DecisionEvent,
    payload: Payload,
    name: str,
    expected: CaseExpected,
    keep: Mapping[str, str],
    court: InForce | str,
) -> tuple[Gated, Reproduced]:
    """The case with as little in it as gives the recorded decision: without what was counted and
    asked, where the decision does not hang on that."""
    tried: list[tuple[Gated, Reproduced]] = []
    for facts in (False, True) if event.facts is not None else (False,):
        made = msgspec.structs.replace(
            case_of(event, payload, name=name, facts=facts), expected=expected
        )
        gated = gate(made, keep=keep)
        if isinstance(court, str):
            return gated, Reproduced(False, why=court)
        again = reproduced(event, gated.case, court)
        if not again.yes and gated.redacted and reproduced(event, made, court).yes:
            kinds = ", ".join(gated.redacted)
            again = msgspec.structs.replace(
                again,
                why=f"{again.why}; it is with what the gate replaced ({kinds}): edit the case, or "
                "say why a kind has to stay: --keep KIND=REASON",
            )
        if again.yes:
            return gated, again
        tried.append((gated, again))
    return tried[0]


def _of_report(
    control: Control, wanted: Wanted, source: _Source, incident: Incident, deed: Deed
) -> Captured:
    """A report that names no decision: what it says is what a user said."""
    report = source.report
    if report is None or not report.text.strip():
        raise InvalidInput(
            f"report {source.id} names no event and holds no text, so there is nothing to send; "
            "name the event, or write the case yourself: kt regressions add --file FILE"
        )
    told = expectation(wanted.expected, event=None, enforcement=incident.verdicts.enforcement)
    name = wanted.name or f"{incident.reference}: {report.title}"
    messages = ({"role": "user", "content": report.text.strip()},)
    case = Case(name, CaseInput(messages=messages), told.expected)
    # As the files of a report are sealed: see store/report_files.py.
    subject = str(Subject("session", f"report:{report.id}"))
    made = CaseSource("report", report.id)
    return _without_event(control, wanted, case, made, incident, deed, told.because, subject)


def _written(control: Control, wanted: Wanted, deed: Deed) -> Captured:
    """A case that somebody wrote."""
    case = read_case(wanted.text, file="case.yaml")
    if not wanted.incident:
        raise InvalidInput("incident: name the incident that this case is for: --incident INC")
    incident = control.stores.incidents.get(wanted.incident)
    if wanted.expected != CaseExpected():
        case = msgspec.structs.replace(case, expected=wanted.expected)
    case = msgspec.structs.replace(case, expected=canonical(case.expected))
    if wanted.name:
        case = msgspec.structs.replace(case, name=wanted.name)
    made = CaseSource("hand", "")
    return _without_event(control, wanted, case, made, incident, deed, "as written", "")


def _without_event(
    control: Control,
    wanted: Wanted,
    case: Case,
    source: CaseSource,
    incident: Incident,
    deed: Deed,
    because: str,
    subject: str,
) -> Captured:
    bench = Bench(control.stores)
    gated = gate(case, keep=wanted.keep)
    draft = Regression(
        id="",
        version=0,
        kind="case",
        state="proposed",
        incident_id=incident.id,
        config_id=_config(control, wanted.config),
        case=case,
        source=source,
        created_at=deed.now,
        created_by=deed.by,
        changed_at=deed.now,
        changed_by=deed.by,
        subject=subject,
    )
    court = _court(bench, draft, incident, {})
    one = through_gate(draft, gated, wanted.keep, deed)
    control.stores.regressions.require_new(one)
    red, why = _tried(one.case, court)
    return Captured(
        regression=one,
        incident=incident,
        reproduced=None,
        red=red,
        why=why,
        because=because,
        found=gated.found,
    )


def _config(control: Control, named: str) -> str:
    """The configuration that is named, or the only one there is."""
    known = sorted(one.id for one in control.stores.configurations.list())
    if named in known:
        return named
    if not named and len(known) == 1:
        return known[0]
    raise InvalidInput(
        f"config: say which configuration it tests: --config ID; there is: "
        f"{', '.join(known) or 'none yet'}"
    )


def _court(
    bench: Bench,
    draft: Regression,
    incident: Incident,
    courts: dict[tuple[str, str], InForce | str],
) -> InForce | str:
    """The configuration of the time, compiled once; in words why it cannot be had."""
    key = draft.source.config_version, draft.source.revision
    if key not in courts:
        since = incident.first_occurred_at or incident.detected_at or incident.reported_at
        judge = bench.red(draft, since)
        if judge.content is None:
            courts[key] = judge.missing
        else:
            try:
                courts[key] = compiled(judge.content).in_force
            except ConfigurationInvalid as error:
                courts[key] = f"this release cannot read {judge.name}: {error}"
    return courts[key]


def _tried(case: Case, court: InForce | str) -> tuple[bool | None, str]:
    """Whether a case fails, as it has to, and why it does not; None where it could not be run."""
    if isinstance(court, str):
        return None, court
    result = run_one(court, case)
    if result.passed:
        return False, (
            f"it was {result.verdict} on that configuration already: a case that cannot fail "
            "proves nothing; say what else must come out (kt regressions edit)"
        )
    if result.outcome is not CaseOutcome.FAIL:
        return None, f"it cannot be run: {result.why}"
    return True, ""


def payload_for_gate(control: Control, event: DecisionEvent, deed: Deed) -> Payload:
    """What was recorded; what is masked in it, only where that is what is missing. It goes through
    the gate before anybody sees it."""
    if not event.payload.masked or not list(missing_of(event, event.payload)):
        return event.payload
    entry = custody_entry(
        "reveal",
        f"event:{event.id}",
        actor=deed.by,
        now=deed.now,
        reason="regression case: read for the redaction gate, shown to nobody",
        digest_before=event.payload_digest,
        digest_after=event.payload_digest,
    )
    return control.stores.events.reveal(event.id, entry)
