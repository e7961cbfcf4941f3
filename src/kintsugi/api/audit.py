"""``/v1/audit``: who called what, and what became of it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query
from pydantic import Field
from starlette.responses import Response

from kintsugi.api.answers import Meta, Page, reply
from kintsugi.api.control import Ctl
from kintsugi.api.event_query import TOTAL_CEILING, PageQuery, TimeText
from kintsugi.api.permissions import Scope
from kintsugi.api.relative_time import parse_time
from kintsugi.api.routing import Routes
from kintsugi.model.audit import AuditEntry, AuditFilter

routes = Routes("audit")


class AuditQuery(PageQuery):
    """Which calls."""

    actor: Annotated[str, Field(max_length=300, description="`NAME/ID`, as entries show it.")] = ""
    operation: Annotated[
        str, Field(max_length=100, description="As the OpenAPI document names it.")
    ] = ""
    object: Annotated[
        str, Field(max_length=300, description="A path; all below it where it ends in `/`.")
    ] = ""
    result: Literal["done", "refused", "failed", ""] = ""
    since: TimeText = None
    until: TimeText = None


@routes.add("GET", "/v1/audit", Scope.AUDIT_READ, answer=Page[AuditEntry], parameters=True)
def list_audit(control: Ctl, query: Annotated[AuditQuery, Query()]) -> Response:
    """State-changing calls, and reads of unredacted content, newest first."""
    audit, now = control.stores.audit, control.clock()
    where = AuditFilter(
        actor=query.actor,
        operation=query.operation,
        object=query.object,
        result=query.result,
        since=parse_time(query.since, now=now) if query.since else None,
        until=parse_time(query.until, now=now) if query.until else None,
    )
    total = audit.count(where, ceiling=TOTAL_CEILING + 1)
    entries: list[AuditEntry] = []
    cursor = None
    if query.limit:
        entries, cursor = audit.page(where, limit=query.limit, cursor=query.cursor)
    meta = Meta(min(total, TOTAL_CEILING), total > TOTAL_CEILING, cursor)
    return reply(Page(entries, meta))
