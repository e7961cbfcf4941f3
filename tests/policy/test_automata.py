"""Many patterns in one pass: found, located, bounded, and never silently missed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import re2
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from kintsugi.policy import automata, clauses, rules
from kintsugi.policy.automata import Automaton, Pattern, PatternInvalid, Sighting, Span, width
from kintsugi.policy.encodings import TRIGGERS
from kintsugi.policy.normalise import Layer
from kintsugi.policy.rules import KINDS
from kintsugi.policy.rules.prompt_injection.rule import PromptInjectionRule
from tests.policy.configs import config_of


def spans(automaton: Automaton, index: int, text: str) -> list[str]:
    data = text.encode()
    return [data[span.start : span.end].decode() for span in automaton.spans(index, data)]


def test_a_set_says_which_patterns_are_there() -> None:
    automaton = Automaton([Pattern("a", "foo"), Pattern("b", r"\d{3}"), Pattern("c", "Bar")])
    assert sorted(automaton.search(b"FOO and 123")) == [0, 1]
    assert automaton.search(b"nothing") == []
    assert automaton.search(b"") == []


def test_case_counts_where_the_pattern_says_so() -> None:
    automaton = Automaton([Pattern("a", "Foo", ignore_case=False)])
    assert automaton.search(b"foo") == []
    assert automaton.search(b"Foo") == [0]


def test_spans_are_in_characters_of_the_layer() -> None:
    automaton = Automaton([Pattern("a", "ü+")])
    sighting = Sighting(automaton, Layer("xüü – ü"), (0,), first=0, start=0)
    assert list(sighting.spans(0)) == [Span(1, 3), Span(6, 7)]


def test_a_refused_match_does_not_hide_the_next_one() -> None:
    automaton = Automaton([Pattern("a", r"\d{2}")])
    sighting = Sighting(automaton, Layer("a1234"), (0,), first=0, start=0)
    found = list(sighting.spans(0, lambda text, start, end: text[start:end] == "23"))
    assert found == [Span(2, 4)]


def test_a_value_is_found_at_each_of_its_starts() -> None:
    automaton = Automaton([Pattern("a", r"key[ :]{1,2}(?P<value>\w{3,8})")])
    assert spans(automaton, 0, "key: key: hunter2") == ["key", "hunter2"]
    assert spans(automaton, 0, "key key key") == ["key", "key"]


def test_a_tail_extends_a_match_and_decides_nothing() -> None:
    automaton = Automaton([Pattern("a", "ab|cd", tail="x*")])
    assert spans(automaton, 0, "abxx cdx ab") == ["abxx", "cdx", "ab"]


def test_patterns_that_need_the_same_are_asked_only_when_it_is_there() -> None:
    patterns = [Pattern(str(n), rf"\d{n}", needs=r"\d") for n in range(10)]
    patterns.append(Pattern("twin", r"\d3", needs=r"\d"))
    automaton = Automaton(patterns)
    assert automaton.search(b"none") == []
    assert sorted(automaton.search(b"x 53 x")) == [3, 10]


@pytest.mark.parametrize(
    ("regex", "reason"),
    [
        ("(?=a)b", "look-ahead"),
        ("(?<!a)b", "look-ahead"),
        (r"(a)\1", "back-references"),
        ("a*", "empty text"),
        ("(a", "missing )"),
        ("a{2000}", "repetition"),
        ("x" * 5_000, "longer than"),
        ("(?:(?:a{50}){50}b){19}", "repetition"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(regex: str, reason: str) -> None:
    with pytest.raises(PatternInvalid, match=re.escape(reason)):
        Automaton([Pattern("bad", regex)])


def test_a_set_that_runs_out_of_memory_never_means_nothing_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    automaton = Automaton([Pattern("a", "foo"), Pattern("b", "bar", needs="ba")])

    class Exhausted:
        def Match(self, data: bytes) -> None:  # noqa: N802 - the binding calls it so
            """As the binding answers when the memory is used up."""

    monkeypatch.setattr(
        automaton, "_sets", [(Exhausted(), stages) for _, stages in automaton._sets]
    )
    assert sorted(automaton.search(b"a foo and a bar")) == [0, 1]
    assert automaton.search(b"neither") == []


def test_a_set_too_large_for_its_memory_is_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automata, "_SET_MEMORY_BYTES_MAX", 200_000)
    patterns = [Pattern(str(n), rf"[a-z].{{0,20}}[b-k]{n}[x-z].{{0,20}}[c-z]") for n in range(20)]
    automaton = Automaton(patterns)
    assert len(automaton._sets) > 1
    assert automaton.search(b"a b7x c") == [7]


def test_a_thousand_patterns_are_found_each() -> None:
    automaton = Automaton([Pattern(str(n), rf"\bword{n}\b") for n in range(1_000)])
    assert all(automaton.search(f"a word{n} b".encode()) == [n] for n in range(0, 1_000, 37))


@pytest.mark.parametrize(
    ("pattern", "longest", "before"),
    [
        (Pattern("a", r"a{3,5}b"), 6, 0),
        (Pattern("a", r"(?i)abc"), 3, 0),
        (Pattern("a", r"(?:ab|c){2,4}\b"), 8, 0),
        (Pattern("a", r"a+"), None, 0),
        (Pattern("a", r"a{2}", tail="b*"), 2, 0),
        (Pattern("a", r"foo\s{0,3}(?P<value>x{1,9})y"), 16, 6),
        (Pattern("a", r"(?:pass|password)(?:(?:=|: ?)(?P<value>b{2,5}))"), 15, 10),
        (Pattern("a", r"x*(?P<value>b)"), None, None),
        (Pattern("a", r"\pL{2}[[:alpha:]]\p{Greek}\z"), 4, 0),
        (Pattern("a", r"(?<value>a)"), 1, 0),
    ],
)
def test_widths_are_exact(pattern: Pattern, longest: int | None, before: int | None) -> None:
    assert width(pattern) == (longest, before)


@given(st.from_regex(re.compile(r"(?:ab|c\d?){1,4}x{0,2}", re.ASCII), fullmatch=True))
def test_no_match_is_wider_than_its_width(text: str) -> None:
    pattern = Pattern("a", r"(?:ab|c\d?){1,4}x{0,2}")
    longest = width(pattern).longest
    assert longest is not None
    found = list(Automaton([pattern]).spans(0, f"--{text}--".encode()))
    assert found
    assert all(span.end - span.start <= longest for span in found)


@given(st.lists(st.sampled_from(["foo", "1", "23", " ", "é", "bar", "fo"]), max_size=20))
def test_a_set_and_its_patterns_alone_agree(pieces: list[str]) -> None:
    text = "".join(pieces)
    patterns = [
        Pattern("a", "foo"),
        Pattern("b", r"\d{3}"),
        Pattern("c", "é.?b"),
        Pattern("d", "oo"),
    ]
    alone = [n for n, one in enumerate(patterns) if re2.search(one.regex, text) is not None]
    assert sorted(Automaton(patterns).search(text.encode())) == alone


def built_in_patterns() -> list[Pattern]:
    """Of all kinds with everything switched on."""
    everything: dict[str, dict[str, Any]] = {
        "pii-detector": {"healthcare_mode": True},
        "dlp-filter": {"sensitivity_level": "restricted"},
        "safety-filter": {"block_if": ["profanity", "harassment"], "mode": "automotive"},
    }
    found: list[Pattern] = []
    for name, kind in KINDS.items():
        (block,) = config_of({name: everything.get(name, {})}).chain
        found.extend(kind.build(block.options, kind.phases[0]).patterns)
    return found


# These need a word that is not in the pattern: what confirms a match looks for it before.
TOLD_BY_CONTEXT = {"date_of_birth", "okta_token", "gocardless_token"}


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(one, id=f"{one.name} {number}")
        for number, one in enumerate(built_in_patterns())
        if one.needs and one.name not in TOLD_BY_CONTEXT
    ],
)
def test_what_a_pattern_needs_is_in_everything_it_matches(pattern: Pattern) -> None:
    """Examples are drawn from the pattern itself, so far as Python reads its syntax."""
    source = clauses._for_python(pattern.regex).replace("(?-i:", "(?:")
    try:
        examples = st.from_regex(re.compile(source, re.ASCII | re.IGNORECASE), fullmatch=True)
    except re.error:
        pytest.skip("syntax that only RE2 reads")
    whole = Automaton(
        [pattern.__class__(pattern.name, pattern.regex, ignore_case=pattern.ignore_case)]
    )
    needed = Automaton([pattern.__class__("needs", pattern.needs, ignore_case=pattern.ignore_case)])

    @settings(max_examples=15, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(examples)
    def check(example: str) -> None:
        data = example.encode("utf-8", "replace")
        if whole.search(data):
            assert needed.search(data)

    check()


def test_no_pattern_is_overlooked_for_its_words() -> None:
    """In the texts that the policies' own cases are made of, and in capitals."""
    patterns = [*TRIGGERS, *built_in_patterns()]
    automaton = Automaton(patterns)
    texts = [
        case["text"]
        for path in Path(rules.__file__).parent.glob("*/cases.yaml")
        for case in YAML(typ="safe").load(path)["cases"]
        if isinstance(case.get("text"), str)
    ]
    assert len(texts) > 300
    for text in texts:
        for data in (text.encode("utf-8", "replace"), text.upper().encode("utf-8", "replace")):
            found = set(automaton.search(data))
            for index, pattern in enumerate(patterns):
                if pattern.name not in TOLD_BY_CONTEXT:
                    assert automaton._in(index, data) == (index in found), (pattern.name, text)


def test_injection_signals_are_unique() -> None:
    (block,) = config_of({"prompt-injection": {}}).chain
    rule = KINDS["prompt-injection"].build(block.options, KINDS["prompt-injection"].phases[0])
    assert isinstance(rule, PromptInjectionRule)
    names = [pattern.name for pattern in rule.patterns]
    assert len(names) == len(set(names))
