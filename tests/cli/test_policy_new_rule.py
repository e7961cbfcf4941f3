"""What ``kt policy new-rule`` writes passes every check of the repository at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kintsugi.errors import InvalidInput
from kintsugi.policy.new_rule import check_name, registered
from tests.cli.conftest import Kt

ROOT = Path(__file__).parents[2]
TESTS = (
    "tests/policy/rules/test_cases.py",
    "tests/policy/rules/test_pages.py",
    "tests/policy/rules/test_topic_guard.py",
    "tests/policy/test_reasons.py",
    "tests/policy/test_standards.py",
    "tests/policy/test_json_schema.py",
)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources and of the tests that every kind has to pass."""
    copy = tmp_path_factory.mktemp("checkout")
    ignored = shutil.ignore_patterns("__pycache__", "node_modules")
    for folder in ("src", "docs", "tests"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


def run(checkout: Path, *command: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src")}
    ran = subprocess.run(
        [sys.executable, "-m", *command], cwd=checkout, env=environment, capture_output=True
    )
    assert ran.returncode == 0, ran.stdout.decode() + ran.stderr.decode()


@pytest.mark.timeout(300)
def test_a_new_kind_passes_style_types_and_tests_at_once(checkout: Path, kt: Kt) -> None:
    ran = kt("policy", "new-rule", "topic-guard", "--directory", str(checkout), "--json")
    assert ran.code == 0, ran.err
    written = [*ran.json["files"], *ran.json["registered_in"]]
    python = [path for path in written if path.endswith(".py")]
    run(checkout, "ruff", "check", *python)
    run(checkout, "ruff", "format", "--check", *python)
    new = [path for path in python if "topic_guard" in path]
    # The rest of the program has its own check; here it is only read as far as needed.
    run(checkout, "mypy", "--follow-imports=silent", *new)
    run(checkout, "pytest", "-q", "-p", "no:randomly", *TESTS)
    again = kt("policy", "new-rule", "topic-guard", "--directory", str(checkout))
    assert (again.code, "exists" in again.err) == (2, True)


@pytest.mark.parametrize("name", ["Topic", "topic_guard", "a--b", "t2", "", "x" * 41, "custom"])
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        check_name(name, ["custom"])


def test_outside_a_checkout_it_says_so(tmp_path: Path, kt: Kt) -> None:
    ran = kt("policy", "new-rule", "topic-guard", "--directory", str(tmp_path))
    assert (ran.code, "checkout" in ran.err) == (2, True)


def test_a_registry_of_another_form_is_named() -> None:
    sources = {
        path: (ROOT / path).read_text() if "standards" not in path else ""
        for path in (
            "src/kintsugi/policy/rules/__init__.py",
            "src/kintsugi/policy/reasons.py",
            "src/kintsugi/policy/standards.py",
        )
    }
    with pytest.raises(InvalidInput, match=r"standards\.py: .* by hand"):
        registered("topic-guard", sources)
