"""``/v1/notices``: what was told, and every type of it."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import Query
from pydantic import Field
from starlette.responses import Response

from kintsugi.api.answers import Page, part, whole
from kintsugi.api.control import Ctl
from kintsugi.api.event_query import PageQuery
from kintsugi.api.permissions import Scope
from kintsugi.api.routing import Routes
from kintsugi.api.sight import may_see
from kintsugi.model.notice import Notice
from kintsugi.model.notice_types import NOTICE_TYPES
from kintsugi.model.signal import Severity

routes = Routes("notices")


class NoticeQuery(PageQuery):
    """Which notices."""

    type: Annotated[str, Field(max_length=100, description="Only of this type.")] = ""


class NoticeTypeView(msgspec.Struct, frozen=True):
    """A type of notice.

    Attributes:
        severity: where the thing that it tells of has none.
        fields: of its data, each with what it is.
    """

    type: str
    text: str
    severity: Severity
    fields: dict[str, str]


@routes.add("GET", "/v1/notices", Scope.WEBHOOKS_READ, answer=Page[Notice], parameters=True)
def list_notices(control: Ctl, query: Annotated[NoticeQuery, Query()]) -> Response:
    """What was told of the last thirty days, newest first."""
    found, cursor = control.stores.notices.page(
        type_name=query.type, limit=query.limit, cursor=query.cursor
    )
    # Of incidents that were restricted only later, older notices tell more than is for all.
    seen = [
        one
        for one in found
        if may_see(control.stores, one.subject)
        and may_see(control.stores, f"incident:{one.data.get('incident_id') or ''}")
    ]
    return part(seen, cursor)


@routes.add("GET", "/v1/notice-types", Scope.WEBHOOKS_READ, answer=Page[NoticeTypeView])
def list_notice_types() -> Response:
    """Every type of notice, with the fields of its data."""
    return whole(
        [
            NoticeTypeView(name, one.text, one.severity, one.fields)
            for name, one in NOTICE_TYPES.items()
        ]
    )
