"""What a shorter case is held against: the same decision then, and right now."""

from __future__ import annotations

import pytest

from kintsugi.gateway.in_force import InForce
from kintsugi.model.config import Case, CaseExpected, CaseInput
from kintsugi.policy.parse import parse_config
from kintsugi.replay.driver import put_in_force
from kintsugi.replay.minimise import minimise
from kintsugi.replay.reproduction import NotReproducible, reproduces


def blocking(*terms: str, version: str = "1.0.0") -> InForce:
    """A configuration that blocks some words and no others."""
    source = (
        f"pack: {{name: shop, version: {version}}}\n"
        "policies: {chain: [dlp-filter, audit-logger]}\n"
        "policy:\n"
        f"  dlp-filter: {{blocked_terms: [{', '.join(terms)}], action: block}}\n"
        "  audit-logger: {}\n"
    )
    return put_in_force(parse_config(source, file="c.yaml"))


def case(text: str, **expected: str) -> Case:
    messages = ({"role": "user", "content": text},)
    return Case("case", CaseInput(messages=messages), CaseExpected(**expected))


TYPO = blocking("refund", "aurora")
FIXED = blocking("aurora", version="1.0.1")
OVER_BLOCK = case("Hello there. I want a refund for my order, please.", verdict="allow")
MISS = case("Dear team, aurora ships in May. Keep it secret.", verdict="block")
OPEN = blocking("nothing at all")


def content(one: Case) -> str:
    text: str = one.input.messages[0]["content"]
    return text


def test_an_over_block_is_minimised_to_the_word_that_was_blocked() -> None:
    for candidate in (None, FIXED):
        result = minimise(OVER_BLOCK, reproduces(OVER_BLOCK, TYPO, candidate))
        assert content(result.case) == "refund"
        assert result.case.expected == OVER_BLOCK.expected


def test_a_miss_is_minimised_to_what_the_candidate_catches() -> None:
    result = minimise(MISS, reproduces(MISS, OPEN, FIXED))
    assert content(result.case) == "aurora"
    assert result.remainder is not None
    assert content(result.remainder) == "Dear team, ships in May. Keep it secret."


def test_a_miss_without_a_candidate_is_not_attempted() -> None:
    with pytest.raises(NotReproducible, match=r"an empty one too; name a configuration"):
        reproduces(MISS, OPEN, None)


def test_a_candidate_that_fails_too_is_no_help() -> None:
    with pytest.raises(NotReproducible, match=r"shop@1\.0\.0 either \(verdict allow for block"):
        reproduces(MISS, OPEN, OPEN)


def test_a_case_that_passes_on_the_configuration_of_the_incident_shows_nothing() -> None:
    with pytest.raises(NotReproducible, match=r"passes on shop@1\.0\.1"):
        reproduces(OVER_BLOCK, FIXED, None)


def test_a_case_that_does_not_run_says_why() -> None:
    broken = Case("x", CaseInput(request={"messages": 3}), CaseExpected(verdict="block"))
    with pytest.raises(NotReproducible, match=r"does not run on shop@1\.0\.0: the gateway refused"):
        reproduces(broken, TYPO, None)


def test_another_policy_deciding_is_not_the_same_failure() -> None:
    both = put_in_force(
        parse_config(
            "pack: {name: shop, version: 2.0.0}\n"
            "policies: {chain: [secrets-detector, dlp-filter, audit-logger]}\n"
            "policy:\n"
            "  secrets-detector: {action: block}\n"
            "  dlp-filter: {blocked_terms: [refund], action: block}\n"
            "  audit-logger: {}\n",
            file="c.yaml",
        )
    )
    asked = case("My key AKIAIOSFODNN7EXAMPLQ is gone. A refund?", verdict="allow")
    left = content(minimise(asked, reproduces(asked, both, None)).case)
    assert "AKIA" in left
    assert "refund" not in left
