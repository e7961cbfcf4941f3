"""The registry of reason codes is complete and means one thing per word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import kintsugi
from kintsugi.policy.reasons import REASONS, nearest_reason_code, parse_reason_code
from kintsugi.policy.rules import KINDS

SOURCES = Path(kintsugi.__file__).parent


@pytest.mark.parametrize("kind", KINDS)
def test_every_code_that_a_kind_may_give_is_registered_to_it(kind: str) -> None:
    for code in KINDS[kind].reasons:
        assert REASONS[code].policy == kind


def test_every_registered_code_of_a_kind_is_one_that_it_gives() -> None:
    for reason in REASONS.values():
        if reason.policy in KINDS:
            assert reason.code in KINDS[reason.policy].reasons
        else:
            assert reason.policy in ("", "gateway")


def test_every_reason_code_written_in_the_source_is_registered() -> None:
    written = re.compile(
        r"reason_code=\"([a-z_.]+)\"|^(?:PASSED|RULE_ERROR|INTERRUPTED)\s*=\s*\"([a-z_.]+)\"",
        re.MULTILINE,
    )
    found = {
        first or second
        for path in SOURCES.rglob("*.py")
        for first, second in written.findall(path.read_text(encoding="utf-8"))
    }
    assert found <= REASONS.keys()


@pytest.mark.parametrize(
    ("spelling", "code"),
    [
        ("prompt_injection.detected", "prompt_injection.detected"),
        ("prompt_injection_detected", "prompt_injection.detected"),
        (" PII_DETECTED ", "pii.detected"),
        ("all_policies_passed", "policy.passed"),
    ],
)
def test_documented_spellings_are_taken(spelling: str, code: str) -> None:
    assert parse_reason_code(spelling) == code


def test_an_unknown_code_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r'did you mean "pii\.detected"'):
        parse_reason_code("pi.detected")
    assert nearest_reason_code("zzzzzzzzz") == ""


def test_every_reason_explains_itself() -> None:
    for reason in REASONS.values():
        assert re.fullmatch(r"[a-z_]+\.[a-z_]+", reason.code)
        assert reason.title
        assert reason.meaning.endswith(".")
        assert reason.help.endswith(".")
