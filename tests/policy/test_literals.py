"""Words that must be in a text before an expression can match it."""

from __future__ import annotations

import re

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.policy.automata import Automaton, Pattern
from kintsugi.policy.clauses import clauses, told
from kintsugi.policy.literals import Literals, Places, folded


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
    text = folded(f"- {changed} -".encode("utf-8", "replace"))[0].decode()
    if re2.search(f"(?i:{regex})", changed):
        for clause in clauses(regex):
            assert any(literal in text for literal in clause)


@pytest.mark.parametrize("text", ["K", "\N{KELVIN SIGN}", "\N{LATIN SMALL LETTER LONG S}", "ς"])
def test_letters_that_are_one_to_re2_are_folded_to_one(text: str) -> None:
    plain = {"K": "k", "\N{KELVIN SIGN}": "k", "ς": "σ"}.get(text, "s")
    regex = f"{plain}{plain}{plain}yxw"
    assert re2.search(f"(?i:{regex})", text * 3 + "yxw")
    assert Automaton([Pattern("a", regex)]).search((text * 3 + "yxw").encode()) == [0]


# Places are told in texts of some length.
LONG = "." * 2_048


def literals_of(*regexes: str) -> Literals:
    return Literals([one for regex in regexes if (one := told(regex)) is not None])


def test_an_expression_is_possible_where_all_of_its_clauses_are() -> None:
    literals = literals_of("password.*hunter", "hunter", "bicycle")
    assert sorted(dict(literals.possible(b"PASSWORD of the HUNTER"))) == [0, 1]
    assert list(dict(literals.possible(b"a hunter"))) == [1]
    assert dict(literals.possible(b"nothing")) == {}
    assert dict(Literals([]).possible(b"nothing")) == {}


@pytest.mark.parametrize("before", [0, 1, 32_760, 32_767, 32_768, 65_530, 100_000])
def test_a_long_text_is_read_in_pieces_that_overlap(before: int) -> None:
    literals = literals_of("password", "überraschung")
    found = dict(literals.possible(b"x" * before + b"password" + b"y" * 70_000))
    assert {before} == set(found[0].starts if found[0] else ())
    accented = "é".encode() * before + ("ÜBERRASCHUNG" + LONG).encode()
    found = dict(literals.possible(accented))
    assert {2 * before} == set(found[1].starts if found[1] else ())


@pytest.mark.parametrize(
    ("regex", "text", "expected"),
    [
        (r"\b(?:grey|gray)ish\W", "greyish grayish.", Places([0, 8], begin=True)),
        # Not where "give" is: a match may begin before it.
        (r"\b(?:(?:do|don.t|not) )?forgive\W", "do forgive!", Places([3], begin=False)),
        (r"\w+ password", "a password", Places([1], begin=False)),
        (
            r"(?:(?:do not|don.t) follow|stop following) +x",
            "do not follow",
            Places([0], begin=True),
        ),
        (r"zebra", "\N{KELVIN SIGN} zebra", None),  # shorter in small letters: all has moved
        (r"zebra", "ÄÖ zebra", Places([5], begin=True)),
        (r"zebra", "zebra " * 50, None),  # too many to look at each
    ],
)
def test_where_an_expression_may_match(regex: str, text: str, expected: Places | None) -> None:
    assert dict(literals_of(regex).possible((text + LONG).encode())) == {0: expected}
    assert dict(literals_of(regex).possible(text.encode())) == {0: None}  # not worth the while


def test_an_expression_that_can_begin_nowhere_is_not_possible() -> None:
    literals = literals_of("(?:zebra|gnu cow)[a-z]* walks")
    assert dict(literals.possible(b"he walks" + LONG.encode())) == {}


PLACED = (
    r"\b(?:ignore|disregard)\W+(?:\w+\W+){0,3}rules?\b",
    r"(?:^|[^a-z])(?:secret|token) ?[:=] ?(?P<value>\w{3})",
    r"(?:über|unter)raschung.{0,4}x",
    r"\w{1,3}-password$",
)


@given(
    st.lists(
        st.sampled_from(
            [
                *("ignore", " ", "  ", "the", "rules", "rule", "disregard", "secret", "token: ab"),
                *(
                    "abc",
                    "=",
                    ":",
                    "ÜBERRASCHUNG",
                    "unterraschung",
                    "x",
                    "-password",
                    "é",
                    "\u212a",
                ),
                *("ſ", "\n", "zz" * 150),
            ]
        ),
        max_size=40,
    ).map("".join),
    st.sampled_from(["", LONG]),
)
def test_looking_at_its_places_finds_what_looking_everywhere_does(text: str, before: str) -> None:
    text = before + text
    patterns = [Pattern(str(number), regex) for number, regex in enumerate(PLACED)]
    data = text.encode()
    everywhere = [n for n, regex in enumerate(PLACED) if re2.search(f"(?i:{regex})", text)]
    assert sorted(Automaton(patterns).search(data)) == everywhere
