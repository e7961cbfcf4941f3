"""What a review is made of, from the stores: the timeline, actions, and numbers by query.

Each number stands beside the query that gives it again. One that cannot be had says why; it never
keeps a review from being read.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Final

import msgspec

from kintsugi.api.control import Control
from kintsugi.api.followups import all_of
from kintsugi.errors import KintsugiError
from kintsugi.incidents.review import Number, ReviewFacts, people_in, review_text, window_of
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.incident import Entry, Incident
from kintsugi.model.review import Review

_ENTRIES_MAX: Final = 2000
_EVENTS_MAX: Final = 1000
_PAGE: Final = 500
_QUERY_SECONDS: Final = 10.0
_NAMED_MAX: Final = 5
_COUNT_CEILING: Final = 100_001


def current_review(control: Control, incident: Incident) -> tuple[str, dict[str, str]]:
    """The review of an incident as it is generated now, and the people who may be named in it."""
    facts = review_facts(control, incident)
    return review_text(facts), people_in(facts)


def stored_review(control: Control, incident: Incident) -> Review | None:
    """What people have written so far; None while nobody has."""
    found = all_of(control, incident, "review")
    return found[0] if found else None


def review_facts(control: Control, incident: Incident) -> ReviewFacts:
    """Everything that it is made of."""
    now = control.clock()
    incident = _with_first_occurrence(control, incident)
    entries, pinned, cut = _entries(control, incident)
    review = stored_review(control, incident)
    return ReviewFacts(
        incident=incident,
        entries=entries,
        actions=tuple(all_of(control, incident, "action")),
        numbers=_numbers(control, incident, now),
        environment=_environment(control, incident),
        words={} if review is None else review.parts,
        now=now,
        pinned=pinned,
        cut=cut,
    )


def _with_first_occurrence(control: Control, incident: Incident) -> Incident:
    """Where nobody has said when it began, its first decision event tells."""
    if incident.first_occurred_at is not None or not incident.event_count:
        return incident
    first_at = control.stores.reach.extent(incident.id).first_at
    return msgspec.structs.replace(incident, first_occurred_at=first_at)


def _entries(control: Control, incident: Incident) -> tuple[tuple[Entry, ...], frozenset[str], int]:
    """The newest entries, oldest first; which of them are pinned; whether older ones were left
    out (1 then, since nobody counts them)."""
    found: list[Entry] = []
    pinned: set[str] = set()
    cursor: str | None = None
    while len(found) < _ENTRIES_MAX:
        shown, cursor = control.stores.incidents.timeline(
            incident.id, order="at", pinned_only=False, limit=_PAGE, cursor=cursor
        )
        found += [one.entry for one in shown]
        pinned |= {one.entry.id for one in shown if one.pinned}
        if cursor is None:
            break
    return tuple(found[::-1]), frozenset(pinned), cursor is not None


def _numbers(control: Control, incident: Incident, now: datetime) -> tuple[Number, ...]:
    since, until = window_of(incident, now)
    window = f"timestamp >= '{_sql_time(since)}' AND timestamp <= '{_sql_time(until)}'"
    blocked = f"{window} AND decision = 'blocked'"
    over_block = incident.verdicts.enforcement == "over_block"
    label = "Incorrectly blocked" if over_block else "Blocked during the window"
    asked = [
        ("Decisions during the window", f"count(*) FROM ai_decision_events WHERE {window}"),
        (
            label,
            (
                f"count(*) FILTER (WHERE decision = 'blocked') AS blocked, count(*) AS decisions "
                f"FROM ai_decision_events WHERE {window}"
            ),
        ),
        (
            "Users with a blocked request",
            f"count(DISTINCT nullif(user_id, '')) FROM ai_decision_events WHERE {blocked}",
        ),
        (
            "Teams with a blocked request",
            f"count(DISTINCT nullif(team_id, '')) FROM ai_decision_events WHERE {blocked}",
        ),
    ]
    return (_tied(control, incident), *(_asked(control, name, rest) for name, rest in asked))


def _asked(control: Control, label: str, rest: str) -> Number:
    statement = f"SELECT {rest}"
    query = f'kt sql "{statement}"'
    try:
        answer = control.stores.query.run(statement, row_limit=1, timeout_seconds=_QUERY_SECONDS)
    except KintsugiError as error:
        return Number(label, "", query, str(error))
    count, *of = (int(value) for value in answer.rows[0])
    share = f" ({count / of[0]:.0%} of {of[0]:,})" if of and of[0] else ""
    return Number(label, f"{count:,}{share}", query)


def _tied(control: Control, incident: Incident) -> Number:
    where = EventFilter(incident=incident.reference)
    query = f"GET /v1/events?incident={incident.reference}&limit=0"
    count = control.stores.events.count(where, ceiling=_COUNT_CEILING)
    more = "at least " if count >= _COUNT_CEILING else ""
    return Number("Decision events of this incident", f"{more}{count:,}", query)


def _environment(control: Control, incident: Incident) -> tuple[Number, ...]:
    """What was in force, as the newest of its events tell."""
    where = EventFilter(incident=incident.reference)
    events = control.stores.events.page(where, limit=_EVENTS_MAX).events
    if not events:
        return ()
    query = f"kt events export --incident {incident.reference} --since 30d --format json"
    named = {
        "Configuration versions": Counter(one.config_version for one in events),
        "Models": Counter(one.response_model or one.model for one in events),
        "Providers": Counter(one.provider for one in events),
        "Workflows": Counter(one.workflow for one in events),
        "Verdicts": Counter(one.verdict.value for one in events),
        "Policies that decided": Counter(one.policy_name for one in events),
    }
    # Who was in it is counted, not named: a review is read by many.
    people = {
        "Users": len({one.user_id for one in events if one.user_id}),
        "Teams": len({one.team_id for one in events if one.team_id}),
    }
    return (
        *(Number(label, _most(counter), query) for label, counter in named.items() if any(counter)),
        *(Number(label, f"{count}", query) for label, count in people.items()),
    )


def _most(counter: Counter[str]) -> str:
    del counter[""]
    shown = ", ".join(f"{name} ({count})" for name, count in counter.most_common(_NAMED_MAX))
    more = len(counter) - _NAMED_MAX
    return f"{len(counter)}: {shown}" + (f" and {more} more" if more > 0 else "")


def _sql_time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%fZ}"
