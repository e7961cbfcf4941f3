"""Tables in terminals of any width."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from kintsugi.cli.grid import widths_within
from kintsugi.cli.output import table

ID = "01a2003b-e812-7001-a9fb-4bd4b2e5ab49"
WORDS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=12)


def printed(columns: list[str], rows: list[tuple[object, ...]], width: int) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width).print(table(columns, rows, empty="none"))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_a_table_that_fits_has_one_line_for_each_row() -> None:
    assert printed(["id", "state"], [("REG-1", "approved"), ("REG-10", "rejected")], 80) == [
        "id      state",
        "REG-1   approved",
        "REG-10  rejected",
    ]


def test_prose_is_broken_and_ids_stay_whole() -> None:
    rows: list[tuple[object, ...]] = [(ID, "the same decision lets the answer through", "ana")]
    assert printed(["id", "reason", "by"], rows, 62) == [
        "id                                    reason               by",
        f"{ID}  the same decision    ana",
        "                                      lets the answer",
        "                                      through",
    ]


def test_rows_stand_one_below_another_where_the_table_is_too_wide() -> None:
    rows: list[tuple[object, ...]] = [(ID, "frozen", 109, ""), (ID, "verified", 2, "prompt")]
    assert printed(["id", "status", "events", "missing"], rows, 50) == [
        f"id      {ID}",
        "status  frozen",
        "events  109",
        "",
        f"id       {ID}",
        "status   verified",
        "events   2",
        "missing  prompt",
    ]


def test_times_are_shown_to_the_second() -> None:
    rows: list[tuple[object, ...]] = [("2026-11-21T22:31:27.832862Z",)]
    assert printed(["at"], rows, 80) == ["at", "2026-11-21 22:31:27Z"]


@given(
    st.lists(st.tuples(*[st.lists(WORDS, min_size=1, max_size=6).map(" ".join)] * 4), min_size=1),
    st.integers(30, 120),
)
def test_no_word_is_lost_or_broken_in_any_width(rows: list[tuple[object, ...]], width: int) -> None:
    shown = printed(["one", "two", "three", "four"], rows, width)
    assert all(len(line) <= width for line in shown)
    words = {word for line in shown for word in line.split()}
    assert words >= {word for row in rows for cell in row for word in str(cell).split()}


@pytest.mark.parametrize("room", range(12, 40))
def test_columns_take_the_room_that_there_is_and_no_more(room: int) -> None:
    least, natural = [3, 4, 5], [10, 4, 20]
    widths = widths_within(room, least, natural)
    assert widths is not None
    assert sum(widths) <= room
    assert all(
        few <= width <= most for few, width, most in zip(least, widths, natural, strict=True)
    )


def test_there_are_no_widths_where_words_have_no_room() -> None:
    assert widths_within(11, [3, 4, 5], [10, 4, 20]) is None
