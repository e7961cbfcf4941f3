"""The page shape of every answer: ``{"data": ...}``, lists with ``meta``."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec
from starlette.responses import Response

T = TypeVar("T")


class One(msgspec.Struct, Generic[T], frozen=True):
    """A single thing."""

    data: T


class Meta(msgspec.Struct, frozen=True):
    """What a list says of itself.

    Attributes:
        total: how many match in all, counted up to a ceiling.
        total_is_floor: true where counting stopped at the ceiling: there are at least so many.
        next_cursor: send as ``cursor`` for the next page; null on the last one.
    """

    total: int
    total_is_floor: bool = False
    next_cursor: str | None = None


class EventsMeta(Meta, frozen=True):
    """What a list of events says of itself.

    Attributes:
        from_archive: months that some of it was read from the archive for.
        not_searched: archived months within the asked time that a search by words (`q`) does not
            reach, because the index of their words is not kept; `kt archive restore` makes it anew.
    """

    from_archive: tuple[str, ...] = ()
    not_searched: tuple[str, ...] = ()


class EventsPage(msgspec.Struct, Generic[T], frozen=True):
    """Some of the events, newest first."""

    data: list[T]
    meta: EventsMeta


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some of a list, newest first."""

    data: list[T]
    meta: Meta


def one(data: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """``{"data": data}``."""
    return reply(One(data), status=status, headers=headers)


def whole(data: list[Any]) -> Response:
    """A list that is short enough to have no pages."""
    return reply(Page(data, Meta(total=len(data))))


def part(data: list[Any], cursor: str | None, *, first: bool = True) -> Response:
    """Some of a list that nobody counts: ``total`` is of what is shown, and less than all where
    more follow or went before.

    Args:
        first: nothing went before.
    """
    return reply(Page(data, Meta(len(data), cursor is not None or not first, cursor)))


def reply(body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Encode an answer once, straight from the shared vocabulary."""
    return Response(
        msgspec.json.encode(body, enc_hook=str),
        status_code=status,
        headers=headers,
        media_type="application/json",
    )
