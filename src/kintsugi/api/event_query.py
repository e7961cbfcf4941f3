"""The filters over events, under every name that the documents use for them (CONTRACT §5)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)

from kintsugi.api.problems import FieldError, Invalid
from kintsugi.api.relative_time import parse_time
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.verdict import Verdict
from kintsugi.policy.reasons import parse_reason_code

LIMIT_DEFAULT = 50
LIMIT_MAX = 1000
TOTAL_CEILING = 10_000


def _verdict(word: object) -> object:
    return Verdict.parse(word) if isinstance(word, str) else word


def _time(text: str | None) -> str | None:
    if not text:
        return None
    parse_time(text, now=datetime(2000, 1, 1, tzinfo=UTC))
    return text


_VERDICT_SCHEMA: dict[str, Any] = {
    "type": "string",
    "enum": sorted(Verdict.spellings()),
    "description": "A verdict in any accepted spelling; they mean the same.",
}
_TIME_SCHEMA: dict[str, Any] = {
    "description": "RFC 3339, or so long ago: 5m, 1h, 24h, 7d.",
    "examples": ["2026-04-23T14:00:00Z", "24h"],
}

VerdictWord = Annotated[Verdict | None, BeforeValidator(_verdict), WithJsonSchema(_VERDICT_SCHEMA)]
"""A verdict under any spelling."""

TimeText = Annotated[
    str | None, Field(max_length=64, json_schema_extra=_TIME_SCHEMA), AfterValidator(_time)
]
"""A time as people type it; empty is none."""

Text = Annotated[str, Field(max_length=512)]


class EventFilters(BaseModel):
    """Which events. ``decision`` and ``outcome`` are other names of ``verdict``; ``start_time``
    and ``end_time`` of ``since`` and ``until``. A field that is left out does not restrict."""

    model_config = ConfigDict(extra="forbid")

    verdict: VerdictWord = None
    decision: VerdictWord = None
    outcome: VerdictWord = None
    since: TimeText = None
    until: TimeText = None
    start_time: TimeText = None
    end_time: TimeText = None
    gateway: Text = ""
    user: Text = ""
    team: Text = ""
    tenant: Text = ""
    workflow: Text = ""
    agent: Text = ""
    session: Text = ""
    model: Text = ""
    policy: Text = ""
    reason_code: Text = ""
    config_version: Text = ""
    trace: Text = ""
    incident: Text = ""
    event: Annotated[str, Field(max_length=64, description="An event's id.")] = ""
    q: Annotated[str, Field(max_length=512, description="Full text over the recorded payload.")] = (
        ""
    )

    def where(self, *, now: datetime) -> EventFilter:
        """The filter in the store's terms.

        Raises:
            Invalid: two names of one filter disagree, or the window is empty.
        """
        found: list[FieldError] = []
        verdict = _only("verdict", (self.verdict, self.decision, self.outcome), found)
        since_text = _only("since", (self.since, self.start_time), found)
        until_text = _only("until", (self.until, self.end_time), found)
        since = parse_time(since_text, now=now) if since_text else None
        until = parse_time(until_text, now=now) if until_text else None
        if since and until and until < since:
            found.append(FieldError("until", "lies before since, so nothing can match"))
        if found:
            raise Invalid(found)
        return EventFilter(
            since=since,
            until=until,
            verdict=verdict,
            gateway=self.gateway,
            user=self.user,
            team=self.team,
            tenant=self.tenant,
            workflow=self.workflow,
            agent=self.agent,
            session=self.session,
            model=self.model,
            policy=self.policy.replace("_", "-"),
            reason_code=_reason_code(self.reason_code),
            config_version=self.config_version,
            trace=self.trace,
            incident=self.incident,
            event=self.event,
            q=self.q,
        )


class EventQuery(EventFilters):
    """Filters of a list, and which page of it."""

    limit: Annotated[int, Field(ge=0, le=LIMIT_MAX, description="0 gives only meta.total.")] = (
        LIMIT_DEFAULT
    )
    cursor: Annotated[str | None, Field(max_length=512)] = None


class PageQuery(BaseModel):
    """Which page of a list."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=0, le=LIMIT_MAX, description="0 gives only meta.total.")] = (
        LIMIT_DEFAULT
    )
    cursor: Annotated[str | None, Field(max_length=512)] = None


def _reason_code(text: str) -> str:
    """The canonical spelling; a code that is unknown here may come from a newer gateway."""
    try:
        return parse_reason_code(text) if text else ""
    except ValueError:
        return text


def _only(name: str, given: tuple[Any, ...], found: list[FieldError]) -> Any:
    """The one value among a filter's names."""
    values = {value for value in given if value is not None}
    if len(values) > 1:
        found.append(FieldError(name, "two names of this filter ask for different things"))
    return next(iter(values), None)
