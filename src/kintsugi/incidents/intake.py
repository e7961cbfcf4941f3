"""What becomes of a report: the incident that it opens or joins, and what makes two the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from kintsugi.incidents.commands import Act, changed, entry
from kintsugi.incidents.opening import opened
from kintsugi.model.incident import Change, Incident
from kintsugi.model.report import (
    MACHINES,
    About,
    Fingerprint,
    KeptReport,
    Recurrence,
    Report,
    Taken,
)

TITLE_CHARS_MAX: Final = 300
_SUMMARY_CHARS_MAX: Final = 10_000


def fingerprint(fields: Mapping[str, str]) -> Fingerprint:
    """The fingerprint of these fields; empty ones say nothing and are left out."""
    return Fingerprint(tuple(sorted((name, value) for name, value in fields.items() if value)))


def of_words(
    title: str,
    *,
    category: str = "",
    workflow: str = "",
    about: Sequence[About] = (),
    text: str = "",
) -> Fingerprint:
    """The fingerprint of a person's report.

    What it is about and the category where it names a decision, a trace or a conversation: two
    people who tag the same answer mean the same thing, whatever their words. Otherwise the words
    themselves, without regard to case and blanks: the same form sent twice.
    """
    fields = {"category": category, "workflow": workflow}
    if about:
        for one in about:
            fields[f"{one.kind}:{one.id}"] = one.id
    else:
        fields |= {"title": folded(title), "text": folded(text)}
    return fingerprint(fields)


def folded(text: str) -> str:
    """Words without regard to case and blanks."""
    return " ".join(text.casefold().split())


def title_of(text: str) -> str:
    """The first line of a text, short enough for a title."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= TITLE_CHARS_MAX else line[: TITLE_CHARS_MAX - 1] + "…"


def taken(
    report: Report,
    act: Act,
    incident: Incident | None,
    before: Recurrence | None,
    *,
    events: Sequence[str] = (),
) -> Taken:
    """What becomes of a report that came in.

    Args:
        incident, before: the open incident that has reports of the same fingerprint, and how often
            they came.
        events: decision events that it is about.
    """
    if report.why_unmapped:
        return Taken("unmapped", reason=report.why_unmapped)
    if incident is None:
        if report.state == "resolved":
            return Taken("recorded", reason="it is over, and no open incident knew of it")
        return Taken("joined", _opened(report, act, events))
    again = report.channel in MACHINES and before is not None
    if again and before is not None and before.firing == (report.state == "firing"):
        return Taken("joined", Change(incident, ()))  # the same once more: counted, not told
    return Taken("joined", joined(report, incident, act, events=events))


def joined(report: Report, incident: Incident, act: Act, *, events: Sequence[str] = ()) -> Change:
    """The incident with a report more."""
    over = " is over" if report.state == "resolved" else ""
    told = entry(
        incident,
        "report",
        f"report{over}: {report.title}",
        act,
        detail=_detail(report, events),
    )
    return changed(incident, [told], act, add_events=events)


def settled(
    kept: KeptReport,
    act: Act,
    incident: Incident | None,
    *,
    title: str = "",
    set_aside: bool = False,
    events: Sequence[str] = (),
) -> Taken:
    """What a person makes of a report that no incident has."""
    if set_aside:
        return Taken("set_aside", reason=act.reason)
    if incident is not None:
        change = joined(kept.report, incident, act, events=events)
        return Taken("joined", change, act.reason)
    return Taken("joined", _opened(kept.report, act, events, title=title), act.reason)


def _opened(report: Report, act: Act, events: Sequence[str], *, title: str = "") -> Change:
    begun = opened(
        title or report.title,
        act,
        state="reported",
        summary=report.text[:_SUMMARY_CHARS_MAX],
        source=f"report:{report.id}",
        detected_at=report.at,
        first_occurred_at=report.happened_at,
        events=events,
    )
    told = entry(
        begun.incident,
        "report",
        f"report: {report.title}",
        act,
        detail=_detail(report, events),
    )
    return Change(begun.incident, (*begun.entries, told), begun.add_events)


def _detail(report: Report, events: Sequence[str]) -> dict[str, object]:
    return {
        "report": report.id,
        "channel": report.channel,
        "fingerprint": report.fingerprint.digest,
        "state": report.state,
        "category": report.category,
        "severity": report.severity,
        "workflow": report.workflow,
        "events": list(events),
    }
