"""Puts together what the first page shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from urllib.parse import urlencode

import msgspec
from pydantic import ValidationError

from kintsugi import __version__
from kintsugi.api.answers import EventsMeta
from kintsugi.api.control import Control
from kintsugi.api.event_query import EventQuery
from kintsugi.api.events import page_of_events
from kintsugi.api.gateways import gateway_views
from kintsugi.api.permissions import Scope, allows
from kintsugi.api.problems import Invalid
from kintsugi.api.relaxed import relaxed_now
from kintsugi.api.signals import view_of as signal_view
from kintsugi.console.contexts import Chart, DashboardPage, FilterForm, MinuteRow, VerdictShare
from kintsugi.errors import InvalidInput
from kintsugi.model.event import DecisionEvent
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.events import MinuteCount
from kintsugi.model.tokens import Token
from kintsugi.model.verdict import Verdict

MINUTES = 60
_ROW_MINUTES = 5
ROWS_PER_PAGE = 50
_SIGNALS_SHOWN = 3

# Fields of the form, in its order; the API knows the same names.
FIELDS = (
    "verdict",
    "since",
    "until",
    "q",
    "gateway",
    "user",
    "team",
    "tenant",
    "model",
    "policy",
    "reason_code",
    "workflow",
    "agent",
    "session",
    "config_version",
    "trace",
)


def dashboard(
    control: Control, caller: Token, query: Mapping[str, str], *, now: datetime
) -> DashboardPage:
    """The first page for a query string. A filter that cannot be used is shown with its error."""
    asked = {name: value.strip() for name, value in query.items() if value.strip()}
    where, errors = _filter(asked, now=now)
    counts = last_hour(control, now=now)
    totals = Counter[Verdict]()
    for count in counts:
        totals[count.verdict] += count.count
    cursor = asked.get("cursor")
    events: Sequence[DecisionEvent] = ()
    total, next_page, cold = "0", "", ""
    if not errors:
        try:
            page = page_of_events(control.stores, where, limit=ROWS_PER_PAGE, cursor=cursor)
        except InvalidInput as error:
            errors = {"cursor": str(error)}
        else:
            events = page.data
            total = f"{page.meta.total:,}"
            if page.meta.total_is_floor:
                total = f"more than {total}"
            cold = _cold(page.meta)
            if page.meta.next_cursor:
                next_page = f"/?{urlencode({**_filters(asked), 'cursor': page.meta.next_cursor})}"
    filters = _filters(asked)
    sees_signals = allows(caller.scopes, Scope.SIGNALS_READ)
    return DashboardPage(
        title="Decisions",
        signed_in_as=caller.name,
        now=now,
        version=__version__,
        shares=tuple(VerdictShare(verdict, totals[verdict]) for verdict in Verdict),
        decided=totals.total(),
        stopped=sum(count for verdict, count in totals.items() if verdict.stops),
        chart=chart(counts, now=now),
        signals=tuple(
            signal_view(signal)
            for signal in control.stores.signals.page("unresolved", limit=_SIGNALS_SHOWN)[0]
            if sees_signals
        ),
        signals_total=control.stores.signals.count_unresolved() if sees_signals else 0,
        relaxed=tuple(one for one in relaxed_now(control.stores, now=now) if one.gateways),
        gateways=tuple(gateway_views(control.stores, now=now)),
        filter=FilterForm(
            values={name: asked.get(name, "") for name in FIELDS},
            active=bool(filters),
            errors=errors,
            query=urlencode(filters),
        ),
        events=tuple(events),
        total=total,
        cold=cold,
        next_page=next_page,
        paged=cursor is not None,
        any_events=bool(events) or control.stores.events.last_position() > 0,
    )


def last_hour(control: Control, *, now: datetime) -> list[MinuteCount]:
    """Decisions per minute of the last sixty minutes, the current one included."""
    return control.stores.events.per_minute(since=_first_minute(now), until=now)


def chart(counts: Sequence[MinuteCount], *, now: datetime) -> Chart:
    """The chart and its table."""
    occurred = {count.verdict for count in counts}
    verdicts = tuple(verdict for verdict in Verdict if verdict in occurred)
    stretches: dict[datetime, Counter[Verdict]] = {}
    for count in counts:
        begins_at = count.minute.replace(
            minute=count.minute.minute - count.minute.minute % _ROW_MINUTES
        )
        stretches.setdefault(begins_at, Counter())[count.verdict] += count.count
    rows = tuple(
        MinuteRow(begins_at, tuple(stretch[verdict] for verdict in verdicts))
        for begins_at, stretch in sorted(stretches.items())
    )
    return Chart(chart_data(counts, now=now).decode(), verdicts, rows)


def chart_data(counts: Sequence[MinuteCount], *, now: datetime) -> bytes:
    """Sixty minutes for the script, quiet ones included."""
    first = int(_first_minute(now).timestamp())
    minutes = range(first, first + MINUTES * 60, 60)
    by_place = {(int(count.minute.timestamp()), count.verdict): count.count for count in counts}
    return msgspec.json.encode(
        {
            "minutes": list(minutes),
            "counts": {
                verdict.value: [by_place.get((minute, verdict), 0) for minute in minutes]
                for verdict in Verdict
            },
        }
    )


def _first_minute(now: datetime) -> datetime:
    return now.replace(second=0, microsecond=0) - timedelta(minutes=MINUTES - 1)


def _filters(asked: Mapping[str, str]) -> dict[str, str]:
    return {name: asked[name] for name in asked if name not in {"cursor", "limit"}}


def _filter(asked: Mapping[str, str], *, now: datetime) -> tuple[EventFilter, dict[str, str]]:
    """The filter, or what is wrong by field; other names of a field count as the field."""
    try:
        return EventQuery.model_validate(dict(asked)).where(now=now), {}
    except ValidationError as error:
        return EventFilter(), {
            str(found["loc"][0]): (
                "is no filter"
                if found["type"] == "extra_forbidden"
                else found["msg"].removeprefix("Value error, ")
            )
            for found in error.errors()
        }
    except Invalid as error:
        return EventFilter(), {found.where: found.message for found in error.found}


def _cold(meta: EventsMeta) -> str:
    """What a reader should know of archived months."""
    if meta.not_searched:
        return f"not searched for words, because archived: {', '.join(meta.not_searched)}"
    return f"from the archive: {', '.join(meta.from_archive)}" if meta.from_archive else ""
