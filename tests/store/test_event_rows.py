"""Rows in COPY's text form, and texts as columns show them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.model.decision import Evaluation, Mode, Outcome, Phase
from kintsugi.model.verdict import Verdict
from kintsugi.store.event_rows import column_text, decode_event, encode, evaluation_result
from tests.store.made import event

any_text = st.text(st.characters(codec=None), max_size=400)


@given(any_text)
def test_a_column_is_short_and_storable(text: str) -> None:
    shown = column_text(text)
    assert len(shown) <= 200
    assert "\x00" not in shown
    shown.encode()


@given(any_text, any_text)
def test_long_texts_that_differ_show_differently(one: str, other: str) -> None:
    prefix = "x" * 300
    assert (column_text(prefix + one) == column_text(prefix + other)) == (one == other)


@given(any_text)
def test_a_record_is_read_back_exactly(text: str) -> None:
    one = event(1, user_id=text)
    record = encode(one).decode()
    assert "\x00" not in record
    assert "\n" not in record
    assert decode_event(record) == one


def test_ordinary_texts_are_shown_as_they_are() -> None:
    for text in ("", "user-1", "Ana Müller", "tab\tand\nline", "back\\slash", "漢字😀"):
        assert column_text(text) == text


@pytest.mark.parametrize(
    ("outcome", "verdict", "mode", "result"),
    [
        ("matched", Verdict.BLOCK, Mode.ENFORCE, "block"),
        ("matched", Verdict.REDACT, Mode.ENFORCE, "redact"),
        ("matched", Verdict.BLOCK, Mode.MONITOR, "flag"),
        ("matched", Verdict.ALLOW, Mode.ENFORCE, "pass"),
        ("clear", Verdict.ALLOW, Mode.ENFORCE, "pass"),
        ("skipped", Verdict.ALLOW, Mode.ENFORCE, "skipped"),
        ("error", Verdict.BLOCK, Mode.ENFORCE, "block"),
        ("error", Verdict.ALLOW, Mode.ENFORCE, "error"),
    ],
)
def test_the_result_says_what_the_policy_did(
    outcome: Outcome, verdict: Verdict, mode: Mode, result: str
) -> None:
    evaluation = Evaluation("pii-detector", Phase.INPUT, mode, outcome, verdict)
    assert evaluation_result(evaluation.outcome, evaluation.effective) == result
