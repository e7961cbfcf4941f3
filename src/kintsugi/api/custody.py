"""``/v1/custody``: who did what with evidence. Entries are added by whoever does the thing; callers
report only what this server cannot see: that a package was checked or handed on elsewhere."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import Meta, One, Page, one, reply
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.event_query import LIMIT_DEFAULT, LIMIT_MAX, TOTAL_CEILING
from kintsugi.api.permissions import Scope
from kintsugi.api.routing import Routes
from kintsugi.api.sight import may_see
from kintsugi.errors import NotFound
from kintsugi.model.custody import CustodyAction, CustodyEntry, CustodyFilter, custody_entry
from kintsugi.model.tokens import Token

routes = Routes("custody")

Digest = Annotated[str, Field(pattern="^(sha256:[0-9a-f]{64})?$")]


class CustodyQuery(BaseModel):
    """Which entries, and which page of them."""

    model_config = ConfigDict(extra="forbid")

    object: Annotated[
        str, Field(max_length=300, description="`event:ID`, `export:ID`, `package:ID`, …")
    ] = ""
    actor: Annotated[str, Field(max_length=300, description="`NAME/ID` of a token.")] = ""
    action: CustodyAction | Literal[""] = ""
    limit: Annotated[int, Field(ge=0, le=LIMIT_MAX, description="0 gives only meta.total.")] = (
        LIMIT_DEFAULT
    )
    cursor: Annotated[str | None, Field(max_length=512)] = None


class ReportedAct(BaseModel):
    """Something that was done with evidence outside this server."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["verify", "transfer"]
    object: Annotated[
        str, Field(max_length=300, pattern="^[a-z]+:[!-~]+$", description="`package:ID`, say.")
    ]
    reason: Annotated[str, Field(max_length=2000, description="Why, or what was found.")] = ""
    digest_before: Digest = ""
    digest_after: Digest = ""


@routes.add("GET", "/v1/custody", Scope.CUSTODY_READ, answer=Page[CustodyEntry], parameters=True)
def list_custody(control: Ctl, query: Annotated[CustodyQuery, Query()]) -> Response:
    """What was done with evidence, newest first."""
    custody = control.stores.custody
    where = CustodyFilter(query.object, query.actor, query.action)
    if not may_see(control.stores, query.object):
        raise NotFound(f'nothing of "{query.object}" is for you to see')
    total = custody.count(where, ceiling=TOTAL_CEILING + 1)
    entries: list[CustodyEntry] = []
    cursor = None
    if query.limit:
        entries, cursor = custody.page(where, limit=query.limit, cursor=query.cursor)
    meta = Meta(min(total, TOTAL_CEILING), total > TOTAL_CEILING, cursor)
    seen = [entry for entry in entries if may_see(control.stores, entry.object)]
    return reply(Page(seen, meta))


@routes.add("POST", "/v1/custody", Scope.CUSTODY_WRITE, answer=One[CustodyEntry], status=201)
def report_custody(control: Ctl, caller: Caller, act: ReportedAct) -> Response:
    """Record that evidence was checked or handed on elsewhere. Who and when are the server's."""
    entry = custody_entry(
        act.action,
        act.object,
        actor=actor_of(caller),
        now=control.clock(),
        reason=act.reason,
        digest_before=act.digest_before,
        digest_after=act.digest_after,
    )
    control.stores.custody.add(entry)
    return one(entry, status=201)


def actor_of(token: Token) -> str:
    """Who, for custody: the name may be given twice, the id may not."""
    return f"{token.name}/{token.id}"


def record(
    control: Control,
    caller: Token,
    action: CustodyAction,
    object: str,  # noqa: A002 - the field's own name
    *,
    reason: str = "",
    digest_before: str = "",
    digest_after: str = "",
) -> CustodyEntry:
    """Note what this caller does now. Call it before the thing is handed out, so that nothing
    leaves unrecorded."""
    entry = custody_entry(
        action,
        object,
        actor=actor_of(caller),
        now=control.clock(),
        reason=reason,
        digest_before=digest_before,
        digest_after=digest_after,
    )
    control.stores.custody.add(entry)
    return entry
