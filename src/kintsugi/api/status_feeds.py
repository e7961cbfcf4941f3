"""Where things stand, as feeds: JSON Feed 1.1 and Atom (RFC 4287).

Inside, with a token: every message that was sent. Outside, for anybody: what was published, word
for word as it was redacted then, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any, Final
from uuid import UUID, uuid5
from xml.etree import ElementTree

import msgspec
from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.control import Control, Ctl
from kintsugi.api.permissions import Access, Scope
from kintsugi.api.routing import Routes
from kintsugi.incidents.templates import template_of
from kintsugi.model.communication import Communication
from kintsugi.model.followup import FollowupFilter

routes = Routes("communications")

_ITEMS: Final = 50
_JSON_FEED: Final = "application/feed+json"
_ATOM: Final = "application/atom+xml"
_NAMESPACE: Final = "http://www.w3.org/2005/Atom"
# Names the two feeds for ever, wherever they are served.
_FEEDS: Final = UUID("6f1d3f54-6d2e-5d0c-9a6e-0f9d5c1b7a42")
# What XML 1.0 cannot carry at all, escaped or not.
_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Everybody may ask for the public feeds; what lies between may answer for a minute.
_PUBLIC_HEADERS: Final = {"cache-control": "public, max-age=60"}


class FeedQuery(BaseModel):
    """Of which audience; all of them where none is named."""

    model_config = ConfigDict(extra="forbid")

    audience: Annotated[str, Field(max_length=100)] = ""


class Item(msgspec.Struct, frozen=True):
    """One entry of a feed."""

    id: str
    title: str
    text: str
    at: datetime
    tags: tuple[str, ...] = ()


@routes.add(
    "GET",
    "/v1/communications/feed.json",
    Scope.INCIDENTS_READ,
    media_types=(_JSON_FEED,),
    parameters=True,
)
def communications_feed_json(control: Ctl, query: Annotated[FeedQuery, Query()]) -> Response:
    """Messages that were sent, newest first, as JSON Feed 1.1."""
    return _json_feed("Kintsugi: messages", _sent(control, query.audience))


@routes.add(
    "GET",
    "/v1/communications/feed.atom",
    Scope.INCIDENTS_READ,
    media_types=(_ATOM,),
    parameters=True,
)
def communications_feed_atom(control: Ctl, query: Annotated[FeedQuery, Query()]) -> Response:
    """Messages that were sent, newest first, as Atom."""
    return _atom(control, "Kintsugi: messages", "internal", _sent(control, query.audience))


@routes.add("GET", "/status/feed.json", Access.PUBLIC, media_types=(_JSON_FEED,))
def public_feed_json(control: Ctl) -> Response:
    """What was published, newest first, as JSON Feed 1.1. For anybody."""
    return _json_feed("Status", _published(control), headers=_PUBLIC_HEADERS)


@routes.add("GET", "/status/feed.atom", Access.PUBLIC, media_types=(_ATOM,))
def public_feed_atom(control: Ctl) -> Response:
    """What was published, newest first, as Atom. For anybody."""
    return _atom(control, "Status", "public", _published(control), headers=_PUBLIC_HEADERS)


def _sent(control: Control, audience: str) -> list[Item]:
    if audience:
        template_of(audience)
    found = [
        one
        for status in ("sent", "published")
        for one in _messages(control, status, audience)
        if one.sent is not None
    ]
    items = [
        Item(one.id, one.subject, one.text, one.sent.at, (one.audience,))
        for one in found
        if one.sent is not None
    ]
    return sorted(items, key=lambda item: item.at, reverse=True)[:_ITEMS]


def _published(control: Control) -> list[Item]:
    items = [
        Item(one.id, one.publication.title, one.publication.text, one.publication.at)
        for one in _messages(control, "published", "")
        if one.publication is not None
    ]
    return sorted(items, key=lambda item: item.at, reverse=True)


def _messages(control: Control, status: str, audience: str) -> list[Communication]:
    where = FollowupFilter(kind="communication", status=status, party=audience)
    found, _ = control.stores.followups.page(where, order="newest", limit=_ITEMS)
    return [one for one in found if isinstance(one, Communication)]


def _json_feed(
    title: str, items: Sequence[Item], *, headers: dict[str, str] | None = None
) -> Response:
    document = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": title,
        "items": [
            {
                "id": f"urn:uuid:{item.id}",
                "title": item.title,
                "content_text": item.text,
                "date_published": _time(item.at),
                **({"tags": item.tags} if item.tags else {}),
            }
            for item in items
        ],
    }
    return _response(msgspec.json.encode(document), _JSON_FEED, headers)


def _atom(
    control: Control,
    title: str,
    name: str,
    items: Sequence[Item],
    *,
    headers: dict[str, str] | None = None,
) -> Response:
    feed = ElementTree.Element("feed", {"xmlns": _NAMESPACE})
    _add(feed, "id", uuid5(_FEEDS, name).urn)
    _add(feed, "title", title)
    _add(feed, "updated", _time(items[0].at if items else control.started_at))
    _add(ElementTree.SubElement(feed, "author"), "name", "Kintsugi")
    for item in items:
        entry = ElementTree.SubElement(feed, "entry")
        _add(entry, "id", f"urn:uuid:{item.id}")
        _add(entry, "title", item.title)
        _add(entry, "updated", _time(item.at))
        for tag in item.tags:
            ElementTree.SubElement(entry, "category", {"term": tag})
        _add(entry, "content", item.text, type="text")
    document = ElementTree.tostring(feed, encoding="utf-8", xml_declaration=True)
    return _response(document, _ATOM, headers)


def _add(parent: ElementTree.Element, name: str, text: str, **attributes: Any) -> None:
    ElementTree.SubElement(parent, name, attributes).text = _NO_XML.sub("\ufffd", text)


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _response(document: bytes, media_type: str, headers: dict[str, str] | None) -> Response:
    tagged = {"etag": f'"{sha256(document).hexdigest()[:32]}"', **(headers or {})}
    return Response(document, media_type=media_type, headers=tagged)
