"""Output: harmless on a terminal, JSON in a pipe, errors in one form."""

from __future__ import annotations

import io
import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.cli.output import (
    Output,
    cell,
    facts,
    harmless,
    json_text,
    one_line,
    report_error,
    table,
)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    "hostile",
    ["\x1b[2J", "\x9b31m", "\r", "\x08", "\u202eevil", "\u2066x", "\u200b", "\U000e0041", "\ufeff"],
)
def test_text_that_could_steer_a_terminal_is_shown_as_an_escape(hostile: str) -> None:
    shown = harmless(f"before{hostile}after")
    assert hostile[0] not in shown
    assert shown.startswith("before\\")
    assert shown.endswith("after")


@given(st.text())
def test_nothing_printed_holds_a_control_or_format_character(text: str) -> None:
    for shown in (harmless(text), json_text({"k": text})):
        odd = {c for c in shown if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"}
        assert not odd
        assert not any("\u202a" <= c <= "\u202e" or "\u2066" <= c <= "\u2069" for c in shown)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_json_that_was_made_safe_still_means_the_same(text: str) -> None:
    assert msgspec.json.decode(json_text({"text": text}).encode()) == {"text": text}
    assert msgspec.json.decode(json_text([text], indent=0).encode()) == [text]


def test_a_pipe_gets_json_and_a_terminal_gets_text() -> None:
    pipe, terminal, asked = io.StringIO(), Terminal(), Terminal()
    for stream, as_json in ((pipe, False), (terminal, False), (asked, True)):
        Output(json=as_json, stdout=stream).result({"a": 1}, lambda: facts([("a", 1)]))
    assert msgspec.json.decode(pipe.getvalue()) == {"a": 1}
    assert msgspec.json.decode(asked.getvalue()) == {"a": 1}
    assert "{" not in terminal.getvalue()


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal = Terminal()
    rows = [("block",)]
    Output(stdout=terminal).result(rows, lambda: table(["verdict"], rows, empty=""))
    assert "\x1b[31m" not in terminal.getvalue()


def test_markup_in_a_value_is_text() -> None:
    terminal = Terminal()
    Output(stdout=terminal).result(0, lambda: table(["note"], [("[bold]x[/]",)], empty=""))
    assert "[bold]x[/]" in terminal.getvalue()


def test_an_empty_table_says_so() -> None:
    terminal = Terminal()
    Output(stdout=terminal).result([], lambda: table(["a"], [], empty="no decision matches"))
    assert terminal.getvalue().strip() == "no decision matches"


def test_one_line_is_one_line_of_bounded_width() -> None:
    assert one_line("a\n  b\tc") == "a b c"
    assert one_line("x" * 300, width_max=10) == "x" * 9 + "…"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), (True, "yes"), (1.50, "1.5"), (["a", 2], "a, 2"), ({"a": 1}, '{"a":1}')],
)
def test_values_are_shown_as_people_read_them(value: object, shown: str) -> None:
    assert cell(value) == shown


def test_errors_have_one_form() -> None:
    stream = io.StringIO()
    report_error("it broke\x1b[2J", next_step="mend it", stderr=stream)
    assert stream.getvalue() == "error: it broke\\x1b[2J\n  next: mend it\n"
