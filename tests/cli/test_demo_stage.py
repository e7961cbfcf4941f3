"""What the demo shows of what a command printed, and what its story rests on."""

from __future__ import annotations

import io

import pytest

from kintsugi.cli.demo.stage import chosen, shortened
from kintsugi.cli.demo.teller import Teller
from kintsugi.cli.demo.traffic import PLANTED_REMARK
from kintsugi.policy.classifier import model, second_look

PRINTED = [
    "\x1b[1mincident\x1b[0m  INC-1  The assistant refuses whatever",
    "          is about an order",
    "state     contained",
    "roles     commander ana",
    "          ai_lead ben",
]


def test_a_value_that_goes_on_in_the_next_line_is_shown_whole() -> None:
    assert chosen(PRINTED, "^(incident|state) ") == PRINTED[:3]
    assert chosen(PRINTED, "^roles ") == PRINTED[3:]


def test_without_an_expression_everything_is_shown() -> None:
    assert chosen(PRINTED, "") == PRINTED


def test_what_is_left_out_is_counted_and_one_line_is_never_left_out() -> None:
    assert shortened(PRINTED, 5) == shortened(PRINTED, 4) == PRINTED
    assert shortened(PRINTED, 3) == [*PRINTED[:3], "… 2 more lines"]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_sentences_are_broken_at_words_and_commands_stay_whole(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    teller = Teller(stream, pause_seconds=0.0)
    command = "kt contain stop " + "--reason 'a note leaked' " * 8
    teller.command("ana", command)
    teller.say("Each line is a command that this person types. " * 6)
    first, *rest = (line.replace("\x1b[0m", "") for line in stream.getvalue().splitlines())
    assert command in first
    assert len(rest) > 1
    assert all(len(line.replace("\x1b[3m", "")) <= columns for line in rest)


def test_a_list_of_decisions_fits_on_a_terminal_of_80_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    # time, verdict, reason, id
    assert Teller(Terminal(), pause_seconds=0.0).width >= 8 + 1 + 7 + 1 + 25 + 1 + 36


def test_the_planted_remark_is_missed_by_far() -> None:
    # Else a detector that gets better takes the story away.
    first, second = model.trained(), second_look.trained()
    scores = first.score(PLANTED_REMARK, "tool")
    assert max(one.probability for one in scores) < 0.1
    assert second.judge(PLANTED_REMARK, scores, first) is None
