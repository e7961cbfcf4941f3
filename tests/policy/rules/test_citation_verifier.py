"""Citations: their forms, and what they are compared with."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.errors import ConfigurationInvalid
from kintsugi.model.content import ExchangeView, Part
from kintsugi.model.decision import Decision, Finding, Phase
from kintsugi.policy.decide import decide
from kintsugi.policy.plan import compile_plan
from kintsugi.policy.prose import sentences, stem, without_code, words
from kintsugi.policy.rules.citation_verifier.citations import Form, citations
from kintsugi.policy.sources import label, sources, url_key
from tests.policy.configs import FACTS, answer, config_of, findings, user
from tests.policy.growth import cpu_seconds

FORMS: tuple[Form, ...] = get_args(Form)


def judged(text: str, request: str, **options: Any) -> Decision:
    plan = compile_plan(config_of({"citation-verifier": options}))
    return decide(plan, Phase.OUTPUT, ExchangeView([answer(text)], user(request)), FACTS)


def unresolved(text: str, request: str) -> list[Finding]:
    return [f for f in findings(judged(text, request)) if f.reason_code == "citation.unresolved"]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=8), st.integers(1, 40))
def test_a_number_resolves_exactly_if_a_source_has_it(cited: list[int], count: int) -> None:
    request = "\n".join(f"[{number}] passage" for number in range(1, count + 1))
    text = " ".join(f"so it is [{number}]." for number in cited)
    assert len(unresolved(text, request)) == sum(number > count for number in cited)


@given(st.text(alphabet="abc \n.,", min_size=30, max_size=200), st.integers(0, 10))
def test_whatever_stands_in_the_request_may_be_quoted(text: str, cut: int) -> None:
    quote = " ".join(text.split()[cut:])
    found = findings(judged(f'It says "{quote}" [1].', f"[1] {text}"))
    assert [finding.reason_code for finding in found] == []


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("1", "1"),
        ("Doc #3", "3"),
        ("doc3", "3"),
        ("Source: Policy.md", "policy md"),
        ("policy.md", "policy md"),
        ("DOCUMENT", "document"),
    ],
)
def test_names_are_compared_without_case_and_signs(name: str, key: str) -> None:
    assert label(name) == key


@given(st.text())
def test_a_name_means_the_same_when_read_again(name: str) -> None:
    assert label(label(name)) in (label(name), label(label(label(name))))


def test_urls_are_compared_without_what_does_not_matter() -> None:
    assert url_key("HTTPS://www.Example.com/a/#b") == url_key("http://example.com/a") != ""


def test_passages_are_found_in_their_forms() -> None:
    request = [
        Part("system", "text", 'x\n<document id="7" title="Faq">a</document>\nSource 2: b', "/0"),
        Part("user", "text", "[1] c\n[policy.md] d\nnot [5] e", "/1"),
        Part("tool", "tool_result", "f", "/2", 0, "search"),
    ]
    found = [set(source.labels) for source in sources(request)]
    assert found == [{"7", "faq"}, {"2"}, {"1"}, {"policy md"}, {"search", "1"}]


@given(st.text())
def test_every_place_of_a_citation_is_in_the_text(text: str) -> None:
    for one in citations(text, FORMS, {"a"}):
        assert 0 <= one.start < one.end <= len(text)


@given(st.text())
def test_sentences_come_in_order_and_lose_only_white_space(text: str) -> None:
    spans = list(sentences(text))
    assert "".join("".join(text[s:e].split()) for s, e in spans) == "".join(text.split())
    assert all(a.end <= b.start for a, b in pairwise(spans))


@given(st.text())
def test_words_and_stems_never_fail(text: str) -> None:
    assert all(stem(word) for word in words(text))


@given(st.text())
def test_blanking_code_moves_nothing(text: str) -> None:
    assert len(without_code(text)) == len(text)


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"min_coverage": 2}, "min_coverage"),
        ({"min_groundedness": -1}, "min_groundedness"),
        ({"quote_words_min": 1}, "quote_words_min"),
        (
            {"output_action": {"unverified_action": "redact"}},
            "output_action.unverified_action",
        ),
    ],
)
def test_what_cannot_be_used_is_said(options: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigurationInvalid) as error:
        judged("", "", **options)
    assert error.value.diagnostics[0].path == f"policy.citation-verifier.{path}"


@pytest.mark.parametrize("piece", ["[1]", '"a b c d e f" ', "http://a.b ", "“", "[1-50]", "a. "])
def test_time_is_linear_in_the_text(piece: str) -> None:
    def seconds(count: int) -> float:
        text = (piece * (count // len(piece) + 1))[:count]
        return cpu_seconds(
            lambda: judged(text, "[1] a b c d e f", min_coverage=1, require_source_match=True)
        )

    small = max(seconds(1 << 16), 0.005)
    assert seconds(1 << 20) < 80 * small
