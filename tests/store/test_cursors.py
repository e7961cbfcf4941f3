"""Cursors."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.errors import InvalidInput
from kintsugi.store.cursors import decode_cursor, encode_cursor

moments = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(moments, st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1))
def test_a_cursor_holds_the_place_to_the_microsecond(moment: datetime, identifier: str) -> None:
    assert decode_cursor(encode_cursor(moment, identifier)) == (moment, identifier)


def test_a_cursor_can_stand_in_a_url() -> None:
    cursor = encode_cursor(datetime(2026, 4, 23, tzinfo=timezone(timedelta(hours=2))), "ÿ?>~id")
    assert cursor.replace("-", "").replace("_", "").isalnum()


@given(st.text(st.characters(codec=None)))
def test_anything_else_is_refused_in_words(text: str) -> None:
    try:
        moment, identifier = decode_cursor(text)
    except InvalidInput as error:
        assert "cursor" in str(error)  # noqa: PT017
    else:
        assert moment.tzinfo is UTC
        assert identifier


@pytest.mark.parametrize("cursor", ["LTE", "ZmZmZmZmZmZmZmZmZmZmZmZmZiB4"])
def test_times_that_no_calendar_has_are_refused(cursor: str) -> None:
    with pytest.raises(InvalidInput):
        decode_cursor(cursor)
