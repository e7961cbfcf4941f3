"""Words that must be in a text before an expression can match it."""

from __future__ import annotations

import re

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.policy.automata import Automaton, Pattern
from kintsugi.policy.literals import Literals, clauses, folded


@pytest.mark.parametrize(
    ("regex", "expected"),
    [
        ("password", [{"password"}]),
        ("Secret (?:Key|Door)s?", [{"secret key", "secret door"}]),
        (r"\bignore\W+(?:\w+\W+){0,9}prompts?\b", [{"prompt"}, {"ignore"}]),
        ("(?:foot|foods)[0-9]", [{"foot", "foods"}]),  # not "foo" and then "t" or "ds"
        ("(?:kill|[a-z]+) switch", [{" switch"}]),
        ("-{3,}", [{"---"}]),
        ("gr[ae]yish", [{"grayish", "greyish"}]),
        (r"\d{6}", []),
        ("the", []),  # in nearly every text
        ("[a-z]+|password", []),
        ("(?:password)?[0-9]", []),
        (r"password{,3}", []),  # to RE2 no repetition at all
        (r"\Qpass\E", []),
        (r"[[:alpha:]]{3}\pL\p{Greek}", []),
        (r"\x{1F512}", [{"\U0001f512"}]),
        ("Straße", [{"strasse"}]),
    ],
)
def test_what_must_be_in_a_text(regex: str, expected: list[set[str]]) -> None:
    assert {frozenset(one) for one in expected} == set(clauses(regex))


def test_what_two_expressions_need_is_needed_by_both() -> None:
    assert set(clauses("password [0-9]", "hunter")) == {
        frozenset({"password "}),
        frozenset({"hunter"}),
    }


EXPRESSIONS = (
    r"(?i)ignore (?:all |any )?(?:previous|prior) rules?",
    r"(?:api|auth)[_ -]?keys?\s{0,2}[:=]",
    r"(?:born|birth)\W{1,3}\d",
    r"x+y{2,4}zz",
    r"(?:(?:gross|große) |klein)er? fisch",
    r"sk-[a-f]{2}",
)


@given(st.data())
def test_every_match_holds_what_was_said(data: st.DataObject) -> None:
    regex = data.draw(st.sampled_from(EXPRESSIONS))
    match = data.draw(st.from_regex(re.compile(regex, re.IGNORECASE), fullmatch=True))
    changed = data.draw(st.sampled_from([match, match.upper(), match.lower()]))
    text = folded(f"- {changed} -".encode("utf-8", "replace")).decode()
    if re2.search(f"(?i:{regex})", changed):
        for clause in clauses(regex):
            assert any(literal in text for literal in clause)


@pytest.mark.parametrize("text", ["K", "\N{KELVIN SIGN}", "\N{LATIN SMALL LETTER LONG S}", "ς"])
def test_letters_that_are_one_to_re2_are_folded_to_one(text: str) -> None:
    plain = {"K": "k", "\N{KELVIN SIGN}": "k", "ς": "σ"}.get(text, "s")
    regex = f"{plain}{plain}{plain}yxw"
    assert re2.search(f"(?i:{regex})", text * 3 + "yxw")
    assert Automaton([Pattern("a", regex)]).search((text * 3 + "yxw").encode()) == [0]


def test_an_expression_is_possible_where_all_of_its_clauses_are() -> None:
    literals = Literals([clauses("password.*hunter"), clauses("hunter"), clauses("bicycle")])
    assert sorted(literals.possible(b"PASSWORD of the HUNTER")) == [0, 1]
    assert literals.possible(b"a hunter") == [1]
    assert literals.possible(b"nothing") == []
    assert Literals([]).possible(b"nothing") == []


@pytest.mark.parametrize("before", [0, 1, 32_760, 32_767, 32_768, 65_530, 100_000])
def test_a_long_text_is_read_in_pieces_that_overlap(before: int) -> None:
    literals = Literals([clauses("password"), clauses("überraschung")])
    assert literals.possible(b"x" * before + b"password" + b"y" * 70_000) == [0]
    assert literals.possible("é".encode() * before + "ÜBERRASCHUNG".encode()) == [1]
