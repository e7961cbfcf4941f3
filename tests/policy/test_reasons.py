"""The registry of reason codes is complete and means one thing per word."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import kintsugi
from kintsugi.model.notice_types import NOTICE_TYPES
from kintsugi.policy.reasons import REASONS, nearest_reason_code, parse_reason_code
from kintsugi.policy.rules import KINDS

SOURCES = Path(kintsugi.__file__).parent
FAMILIES = {code.partition(".")[0] for code in REASONS}


def reason_codes_in(path: Path) -> set[str]:
    """Strings of one module that name a reason: ``FAMILY.word``, except in calls of a logger."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    logged = {
        argument
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and ast.unparse(call.func).startswith("log.")
        for argument in call.args
    }
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and node not in logged
        and isinstance(node.value, str)
        and re.fullmatch(r"[a-z_]+\.[a-z_]+", node.value)
        and node.value.partition(".")[0] in FAMILIES
    }


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


def test_every_reason_code_that_a_code_path_names_is_registered() -> None:
    found = {
        code
        for path in SOURCES.rglob("*.py")
        for code in reason_codes_in(path)
        if not code.endswith(".html")  # the console's template of a group's name
    }
    assert {"policy.passed", "rule.error", "exchange.rejected", "exchange.interrupted"} <= found
    assert found <= REASONS.keys() | NOTICE_TYPES.keys()


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
