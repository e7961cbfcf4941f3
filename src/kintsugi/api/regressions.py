"""``/v1/regressions``: what incidents leave behind, so that the same cannot happen again unseen.
The verbs stand in ``regression_verbs``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from fastapi import Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import Meta, One, Page, one, reply, whole
from kintsugi.api.configurations import CONTENT_BYTES_MAX
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.custody import actor_of
from kintsugi.api.edits import DryRun, etag
from kintsugi.api.event_query import PageQuery
from kintsugi.api.permissions import Scope, allows
from kintsugi.api.regression_capture import Captured, Wanted, capture
from kintsugi.api.regression_views import RegressionView, view_of, views_of
from kintsugi.api.routing import Routes
from kintsugi.errors import Forbidden
from kintsugi.incidents.regressions import Deed
from kintsugi.model.config import CaseExpected
from kintsugi.model.custody import custody_entry
from kintsugi.model.regression import CaseKind, CaseState, RegressionFilter
from kintsugi.model.tokens import Token
from kintsugi.replay.redaction_gate import FoundSensitive

routes = Routes("regressions")

CASE_CHARS_MAX = 1_000_000
RegressionKey = Annotated[str, Path(max_length=20, description="REG-000012")]
Word = Annotated[str, Field(max_length=200)]
Piece = Annotated[str, Field(max_length=10_000)]
Why = Annotated[str, Field(max_length=2000)]
Keep = Annotated[
    dict[Word, Why],
    Field(
        max_length=50,
        description="Kinds of sensitive values that stay in spite of the gate, each with why.",
    ),
]


class Expect(BaseModel):
    """What must come out; a field that is left out is not asked for, an empty one no longer."""

    model_config = ConfigDict(extra="forbid")

    verdict: Word | None = None
    reason_code: Word | None = None
    policy: Word | None = None
    response_contains: Piece | None = None
    response_excludes: Piece | None = None
    request_excludes: Piece | None = None

    def over(self, before: CaseExpected) -> CaseExpected:
        """An expectation with these fields instead."""
        told = self.model_dump(exclude_none=True)
        return msgspec.structs.replace(
            before, **{name: value or None for name, value in told.items()}
        )


class NewRegression(BaseModel):
    """What to make a case of, in one action.

    Attributes:
        source: an event, an escalation, a report, a trace (32 hex digits), or ``session:ID``.
        text: the case itself, as YAML that holds ``testing:``, instead of a source.
        incident: where the source is tied to one already it can be left out.
        config: where no decision tells which configuration is tested.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    source: Annotated[str, Field(alias="from", max_length=600)] = ""
    text: Annotated[str, Field(max_length=CASE_CHARS_MAX)] = ""
    incident: Annotated[str, Field(max_length=64, description="Id or reference.")] = ""
    config: Word = ""
    name: Word = ""
    expected: Expect = Field(default_factory=Expect)
    keep: Keep = Field(default_factory=dict)
    reason: Why = ""


class RegressionsQuery(PageQuery):
    """Which cases."""

    incident: Annotated[str, Field(max_length=64, description="Id or reference.")] = ""
    config: Word = ""
    state: CaseState | Literal[""] = ""
    kind: CaseKind | Literal[""] = ""
    parent: Annotated[str, Field(max_length=20)] = ""
    source: Annotated[
        str, Field(max_length=600, description="What they were made of, or its event.")
    ] = ""


class VersionQuery(BaseModel):
    """Which version; the newest where left out."""

    model_config = ConfigDict(extra="forbid")

    version: Annotated[int | None, Field(ge=1, lt=2**31)] = None


class Purpose(BaseModel):
    """Why somebody has to see it."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=2000)]


class CapturedView(msgspec.Struct, frozen=True):
    """A case that was made.

    Attributes:
        reproduced: whether it gives the recorded decision on the configuration that decided; null
            where no decision is known. ``why`` says why not, and what to do.
        red: whether it fails there, as it has to; null where it could not be run.
        expects: what its expectation was taken from.
        found: what the gate replaced or kept, by kind and place.
    """

    regression: RegressionView
    reproduced: bool | None
    red: bool | None
    why: str
    expects: str
    found: tuple[FoundSensitive, ...]


class CapturedCases(msgspec.Struct, frozen=True):
    """What became of a source: one case, or one for each exchange that matters.

    Attributes:
        dry_run: nothing was kept; the ids are empty.
    """

    cases: list[CapturedView]
    dry_run: bool


@routes.add(
    "POST",
    "/v1/regressions",
    Scope.REGRESSIONS_WRITE,
    answer=One[CapturedCases],
    status=201,
    dry_run=One[CapturedCases],
    parameters=True,
    body_bytes_max=CONTENT_BYTES_MAX,
)
def add_regression(control: Ctl, caller: Caller, wanted: NewRegression, query: DryRun) -> Response:
    """Make a regression case of an event, an escalation, a report or a trajectory. It is run at
    once on the configuration of its time, and proposed; a person approves it."""
    require_reveal(caller, wanted.keep)
    made = add(control, caller, wanted, dry_run=query.dry_run)
    return one(made, status=200 if query.dry_run else 201)


def add(
    control: Control, caller: Token, wanted: NewRegression, *, dry_run: bool = False
) -> CapturedCases:
    """What the route does; the console does the same."""
    deed = Deed(actor_of(caller), control.clock(), wanted.reason)
    asked = Wanted(
        source=wanted.source.strip(),
        text=wanted.text,
        incident=wanted.incident.strip(),
        config=wanted.config.strip(),
        name=wanted.name.strip(),
        expected=wanted.expected.over(CaseExpected()),
        keep=wanted.keep,
    )
    captured = capture(control, asked, deed)
    kept = [each.regression for each in captured]
    if not dry_run:
        kept = control.stores.regressions.add(kept, now=deed.now, once=True)
    cases = [
        _captured(each, view_of(stored, each.incident.reference))
        for each, stored in zip(captured, kept, strict=True)
    ]
    return CapturedCases(cases, dry_run)


@routes.add(
    "GET",
    "/v1/regressions",
    Scope.REGRESSIONS_READ,
    answer=Page[RegressionView],
    parameters=True,
)
def list_regressions(control: Ctl, query: Annotated[RegressionsQuery, Query()]) -> Response:
    """Cases, the newest first. ``meta.total`` counts what this page shows."""
    return reply(page_of_regressions(control, query))


def page_of_regressions(control: Control, query: RegressionsQuery) -> Page[RegressionView]:
    """One page; the console shows the same."""
    incident = control.stores.incidents.get(query.incident).id if query.incident else ""
    found, cursor = control.stores.regressions.page(
        RegressionFilter(
            incident=incident,
            config_id=query.config,
            state=query.state,
            kind=query.kind,
            parent=query.parent,
            source=query.source,
        ),
        limit=max(query.limit, 1),
        cursor=query.cursor,
    )
    return Page(views_of(control, found), Meta(len(found), cursor is not None, cursor))


@routes.add(
    "GET",
    "/v1/regressions/{regression_id}",
    Scope.REGRESSIONS_READ,
    answer=One[RegressionView],
    parameters=True,
)
def show_regression(
    control: Ctl, regression_id: RegressionKey, query: Annotated[VersionQuery, Query()]
) -> Response:
    """One case, in its newest version or another one."""
    found = control.stores.regressions.get(regression_id, query.version)
    [view] = views_of(control, [found])
    return one(view, headers={"ETag": etag(found.version)})


@routes.add(
    "GET",
    "/v1/regressions/{regression_id}/history",
    Scope.REGRESSIONS_READ,
    answer=Page[RegressionView],
)
def regression_history(control: Ctl, regression_id: RegressionKey) -> Response:
    """Every version of a case, the newest first."""
    return whole(views_of(control, control.stores.regressions.history(regression_id)))


@routes.add(
    "POST",
    "/v1/regressions/{regression_id}/reveal",
    Scope.PAYLOADS_REVEAL,
    answer=One[RegressionView],
)
def reveal_regression(
    control: Ctl, caller: Caller, request: Request, regression_id: RegressionKey, asked: Purpose
) -> Response:
    """A case with what somebody let in in spite of the gate. Custody says who was shown it."""
    found = control.stores.regressions.get(regression_id)
    [told] = views_of(control, [found])
    entry = custody_entry(
        "reveal",
        f"regression:{found.id}",
        actor=actor_of(caller),
        now=control.clock(),
        reason=asked.reason.strip(),
        digest_before=found.digest,
        digest_after=found.digest,
    )
    control.stores.custody.add(entry)
    # What is kept for a repeated request must not be the content.
    request.state.answer_to_keep = msgspec.json.encode(One(told))
    return one(view_of(found, told.incident, unmasked=True))


def require_reveal(caller: Token, keep: Mapping[str, str]) -> None:
    """Refuse to let content past the gate for somebody who may not see it.

    Raises:
        Forbidden: the caller may not.
    """
    if keep and not allows(caller.scopes, Scope.PAYLOADS_REVEAL):
        raise Forbidden(
            "keep: whoever lets sensitive content into a case needs the scope payloads:reveal"
        )


def _captured(each: Captured, view: RegressionView) -> CapturedView:
    return CapturedView(
        regression=view,
        reproduced=each.reproduced,
        red=each.red,
        why=each.why,
        expects=each.because,
        found=each.found,
    )
