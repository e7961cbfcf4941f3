"""The review of an incident, generated from the record: what happened, with its evidence. Pure.

The order of its sections is that of seeds 001 and 002. Every generated line ends with what it rests
on: an entry of the timeline, an action, a clock, or the query that gave the number.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from kintsugi.incidents.gates import CAUSE_PARTS
from kintsugi.incidents.redaction import names_in
from kintsugi.incidents.review_markdown import EMPTY, digest_of, marked, plain
from kintsugi.incidents.rules import fields
from kintsugi.model.action import Action
from kintsugi.model.incident import Entry, EntryKind, Incident, person_of
from kintsugi.model.review import PEOPLE_PARTS, PeoplePart, Words

# What a reader needs besides what is pinned; the rest stands in the timeline itself.
_TOLD: frozenset[EntryKind] = frozenset({"transition", "event", "note", "update", "communication"})
_FACTS = ("affected_persons", "affected_records", "affected_organisations", "data_categories")
_TITLES: dict[PeoplePart, tuple[str, str]] = {
    "cause": ("How it came about", "In your words: the conditions that made this failure natural."),
    "surprise": ("What surprised us", "What did we believe about the system that was not so?"),
    "lesson": ("What we learned", "What will we do differently, also elsewhere?"),
}


class Number(msgspec.Struct, frozen=True):
    """A number with the query that gives it again.

    Attributes:
        value: empty where it could not be had; ``why`` says why then.
    """

    label: str
    value: str
    query: str
    why: str = ""


class ReviewFacts(msgspec.Struct, frozen=True):
    """Everything that a review is made of.

    Attributes:
        entries: of the timeline, oldest first.
        pinned: ids of entries that people pinned.
        numbers: of the impact; ``environment``: of what was in force.
        words: what people wrote, by part.
        cut: how many older entries were left out.
    """

    incident: Incident
    entries: tuple[Entry, ...]
    actions: tuple[Action, ...]
    numbers: tuple[Number, ...]
    environment: tuple[Number, ...]
    words: dict[str, Words]
    now: datetime
    pinned: frozenset[str] = frozenset()
    cut: int = 0


class _Anchors:
    """Short names for what lines rest on, each defined once at the end."""

    def __init__(self, incident: Incident) -> None:
        self._base = f"/v1/incidents/{incident.reference}"
        self._names: dict[str, str] = {}

    def entry(self, entry: Entry) -> str:
        return self._to(f"{self._base}/timeline/{entry.id}")

    def incident(self) -> str:
        return self._to(self._base)

    def action(self, action: Action) -> str:
        return self._to(f"/v1/actions/{action.id}")

    def obligation(self, obligation_id: str) -> str:
        return self._to(f"/v1/obligations/{obligation_id}")

    def lines(self) -> list[str]:
        return [f"[{name}]: <{address}>" for address, name in self._names.items()]

    def _to(self, address: str) -> str:
        return f"[{self._names.setdefault(address, f'r{len(self._names) + 1}')}]"


def review_text(facts: ReviewFacts) -> str:
    """The whole review as Markdown."""
    anchors = _Anchors(facts.incident)
    generated = {
        "heading": _heading(facts, anchors),
        "summary": _summary(facts, anchors),
        "timeline": _timeline(facts, anchors),
        "technical_details": _numbers(facts.environment, "No decision event is tied to it."),
        "impact": _impact(facts, anchors),
        "root_cause": _cause(facts, anchors),
        "what_changed": _changed(facts, anchors),
        "action_items": _actions(facts, anchors),
    }
    people = {part: _words(facts, part) for part in PEOPLE_PARTS}
    body = [
        *marked("generated", "heading", generated["heading"]),
        *_section("Summary", "summary", generated),
        *_section("Timeline", "timeline", generated),
        *_section("Technical details", "technical_details", generated),
        *_section("Impact", "impact", generated),
        *_section("Root cause", "root_cause", generated),
        *_people("cause", people, level=3),
        *_section("What changed", "what_changed", generated),
        *_people("surprise", people),
        *_people("lesson", people),
        *_section("Action items", "action_items", generated),
        "",
        *marked("generated", "evidence", anchors.lines()),
    ]
    digests: dict[str, str] = {
        **{name: digest_of("\n".join(lines).strip()) for name, lines in generated.items()},
        **{str(part): digest_of("\n".join(lines).strip()) for part, lines in people.items()},
    }
    return "\n".join([*_front_matter(facts, digests), "", *body, ""])


def people_in(facts: ReviewFacts) -> dict[str, str]:
    """Everybody who may be named in it, each as what they were to the incident."""
    return {
        **{
            person_of(entry.actor): "a responder"
            for entry in facts.entries
            if not entry.actor.startswith("kintsugi/")
        },
        **{action.owner: "an owner" for action in facts.actions if action.owner},
        **names_in(facts.incident),
    }


def window_of(incident: Incident, now: datetime) -> tuple[datetime, datetime]:
    """From when to when it did harm, as far as that is known."""
    since = incident.first_occurred_at or incident.detected_at or incident.reported_at
    until = incident.reached.get("monitoring") or incident.reached.get("contained") or now
    return since, max(until, since)


def duration_text(duration: timedelta) -> str:
    """For people: ``2 hours 5 minutes``."""
    minutes = max(int(duration.total_seconds() // 60), 0)
    days, minutes = divmod(minutes, 1440)
    hours, minutes = divmod(minutes, 60)
    parts = [(days, "day"), (hours, "hour"), (minutes, "minute")]
    said = [f"{count} {word}{'' if count == 1 else 's'}" for count, word in parts if count]
    return " ".join(said[:2]) or "under a minute"


def _front_matter(facts: ReviewFacts, digests: dict[str, str]) -> list[str]:
    """YAML whose strings are JSON strings, which YAML reads as they are."""
    incident = facts.incident
    since, until = window_of(incident, facts.now)

    def text(value: object) -> str:
        return msgspec.json.encode(value).decode()

    return [
        "---",
        "kintsugi_review: 1",
        f"incident: {text(incident.reference)}",
        f"title: {text(incident.title)}",
        f"date: {since:%Y-%m-%d}",
        f"duration_minutes: {int((until - since).total_seconds() // 60)}",
        f"severity: {text(incident.severity)}",
        f"state: {text(incident.state)}",
        f"categories: {text(incident.categories)}",
        f"labels: {text(incident.labels)}",
        f"incident_version: {incident.version}",
        f"generated_at: {text(f'{facts.now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}')}",
        "digests:",
        *(f"  {name}: {text(digest)}" for name, digest in digests.items()),
        "---",
    ]


def _section(title: str, name: str, generated: dict[str, list[str]]) -> list[str]:
    return ["", f"## {title}", "", *marked("generated", name, generated[name])]


def _people(part: PeoplePart, people: dict[PeoplePart, list[str]], *, level: int = 2) -> list[str]:
    title, question = _TITLES[part]
    return [
        "",
        f"{'#' * level} {title}",
        "",
        f"*{question}*",
        "",
        *marked("people", part, people[part]),
    ]


def _words(facts: ReviewFacts, part: PeoplePart) -> list[str]:
    words = facts.words.get(part)
    return (words.text if words is not None and words.text else EMPTY).split("\n")


def _heading(facts: ReviewFacts, anchors: _Anchors) -> list[str]:
    incident = facts.incident
    since, until = window_of(incident, facts.now)
    severity = incident.severity or "not assessed"
    return [
        f"# Incident: {plain(incident.title)}",
        "",
        (
            f"**Date:** {since:%Y-%m-%d} | **Duration:** {duration_text(until - since)} | "
            f"**Severity:** {severity} | **Incident:** {incident.reference} {anchors.incident()}"
        ),
    ]


def _summary(facts: ReviewFacts, anchors: _Anchors) -> list[str]:
    incident = facts.incident
    lines = [
        (
            f"{plain(incident.summary) or 'Nobody has written a summary; describe the incident.'} "
            f"{anchors.incident()}"
        )
    ]
    affected = incident.facts.get("affected_persons")
    if affected is not None:
        said = plain(affected.value) if affected.status == "have" else affected.status
        lines += ["", f"Affected: {said} {anchors.incident()}"]
    return lines


def _timeline(facts: ReviewFacts, anchors: _Anchors) -> list[str]:
    incident = facts.incident
    milestones = [
        ("First occurrence", incident.first_occurred_at, None),
        ("Detection", incident.detected_at, None),
        ("First mitigation", *_reached(facts, "contained")),
        ("Final mitigation", *_reached(facts, "monitoring")),
    ]
    lines = [
        f"- **{label}:** {_moment(at) if at else 'not recorded'} "
        f"{anchors.entry(entry) if entry is not None else anchors.incident()}"
        for label, at, entry in milestones
    ]
    lines.append("")
    if facts.cut:
        lines.append(f"- {facts.cut} older entries are left out {anchors.incident()}")
    for entry in facts.entries:
        if entry.kind in _TOLD or entry.id in facts.pinned:
            reason = f": {plain(entry.reason)}" if entry.reason else ""
            pinned = "**pinned** " if entry.id in facts.pinned else ""
            lines.append(
                f"- {_moment(entry.at)} — {pinned}{plain(entry.text)}{reason} "
                f"{anchors.entry(entry)}"
            )
    return lines


def _reached(facts: ReviewFacts, state: str) -> tuple[datetime | None, Entry | None]:
    at = facts.incident.reached.get(state)
    for entry in reversed(facts.entries):
        if entry.kind == "transition" and entry.detail.get("to") == state:
            return at, entry
    return at, None


def _impact(facts: ReviewFacts, anchors: _Anchors) -> list[str]:
    incident = facts.incident
    verdicts = incident.verdicts
    lines = [
        (
            f"- Was there harm: {(verdicts.harm or 'not judged').replace('_', ' ')} "
            f"{anchors.incident()}"
        ),
        (
            f"- Was enforcement right: {(verdicts.enforcement or 'not judged').replace('_', ' ')} "
            f"{anchors.incident()}"
        ),
    ]
    if verdicts.caught_by is not None:
        lines.append(
            f"- Caught by {verdicts.caught_by.replace('_', ' ')}: {plain(verdicts.caught_how)} "
            f"{anchors.incident()}"
        )
    for name in _FACTS:
        fact = incident.facts.get(name)
        if fact is not None:
            said = plain(fact.value) if fact.status == "have" else fact.status.replace("_", " ")
            lines.append(f"- {fields()[name]}: {said} {anchors.incident()}")
    lines += ["", *_numbers(facts.numbers, "No number could be asked for."), ""]
    for clock in incident.obligations:
        due = f", due {_moment(clock.due_at)}" if clock.due_at is not None else ""
        lines.append(
            f"- Obligation {plain(clock.regime)} {plain(clock.article)}: "
            f"{clock.status(facts.now).replace('_', ' ')}{due} {anchors.obligation(clock.id)}"
        )
    if not incident.obligations:
        lines.append(f"- No obligation was opened {anchors.incident()}")
    return lines


def _numbers(numbers: Sequence[Number], otherwise: str) -> list[str]:
    if not numbers:
        return [otherwise]
    return [
        f"- {plain(one.label)}: "
        + (f"**{plain(one.value)}**" if one.value else f"not known ({plain(one.why)})")
        + f" — `{one.query}`"
        for one in numbers
    ]


def _cause(facts: ReviewFacts, anchors: _Anchors) -> list[str]:
    lines = []
    for part in CAUSE_PARTS:
        label = part.replace("_", " ").capitalize()
        known = facts.incident.cause.get(part)
        told = next(
            (
                entry
                for entry in reversed(facts.entries)
                if entry.kind == "cause" and entry.detail.get("part") == part
            ),
            None,
        )
        anchor = anchors.entry(told) if told is not None else anchors.incident()
        said = "nobody has said" if known is None else f"{plain(known.text)} *({known.confidence})*"
        lines.append(f"- **{label}:** {said} {anchor}")
    return lines


def _changed(facts: ReviewFacts, anchors: _Anchors) -> list[str]:
    incident = facts.incident
    lines = [
        f"- Decision: {plain(incident.decision) or 'not recorded'} {anchors.incident()}",
    ]
    for entry in facts.entries:
        to = entry.detail.get("to")
        if entry.kind == "transition" and to in ("contained", "monitoring") and entry.reason:
            label = "Contained" if to == "contained" else "Remediated"
            lines.append(f"- {label}: {plain(entry.reason)} {anchors.entry(entry)}")
    for action in facts.actions:
        if action.state == "done":
            shown = ", ".join(plain(one) for one in action.evidence) or plain(action.end_reason)
            lines.append(f"- Done: {plain(action.title)} ({shown}) {anchors.action(action)}")
    return lines


def _actions(facts: ReviewFacts, anchors: _Anchors) -> list[str]:
    if not facts.actions:
        why = facts.incident.no_actions
        said = f"No action is needed: {plain(why)}" if why else "No action is agreed."
        return [f"{said} {anchors.incident()}"]
    lines = []
    for action in facts.actions:
        if action.state == "dropped":
            said = f"~~{plain(action.title)}~~ (dropped: {plain(action.end_reason)})"
        else:
            due = f"{action.due_at:%Y-%m-%d}" if action.due_at else "no date"
            said = (
                f"{plain(action.title)} ({action.aim}; {plain(action.owner) or 'no owner'}; {due})"
            )
        ticket = f" {plain(action.ticket)}" if action.ticket else ""
        box = "x" if action.state == "done" else " "
        lines.append(f"- [{box}] {said}{ticket} {anchors.action(action)}")
    return lines


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
