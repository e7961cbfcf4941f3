"""Where cases are found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kintsugi.errors import InvalidInput
from kintsugi.policy.parse import parse_config
from kintsugi.replay.sources import collect, read_source

CONFIG = """\
pack: {name: a, version: 1.0.0}
policies: {chain: [dlp-filter]}
policy: {dlp-filter: {}}
testing:
  suites:
    - name: inline
      cases:
        - {name: one, input: {messages: [{}]}, expected: {verdict: allow}}
"""
GOLDEN = {"name": "two", "input": {"messages": [{}]}, "expected": {"verdict": "allow"}}
FRAGMENT = """\
testing:
  suites:
    - name: more
      cases:
        - {name: three, input: {messages: [{}]}, expected: {verdict: allow}}
"""


def write_golden(folder: Path, name: str, case: object) -> Path:
    path = folder / "tests" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(case))
    return path


def test_cases_come_from_the_configuration_its_tests_and_further_files(tmp_path: Path) -> None:
    write_golden(tmp_path, "b.json", {**GOLDEN, "name": "b"})
    write_golden(tmp_path, "a.json", {**GOLDEN, "name": "a"})
    fragment = tmp_path / "more.yaml"
    fragment.write_text(FRAGMENT)
    config = parse_config(CONFIG, file="c.yaml")
    cases, diagnostics = collect(config, folder=tmp_path, fragments=[fragment])
    assert diagnostics == ()
    assert [c.id for c in cases] == ["inline/one", "golden/a", "golden/b", "more/three"]
    assert (cases[0].file, cases[0].position.line) == ("c.yaml", 8)
    assert (cases[3].file, cases[3].position.line) == (str(fragment), 5)


def test_a_bad_file_is_reported_and_the_others_are_still_found(tmp_path: Path) -> None:
    path = write_golden(tmp_path, "a.json", {**GOLDEN, "expected": {"verdct": "allow"}})
    write_golden(tmp_path, "b.json", GOLDEN)
    cases, diagnostics = collect(parse_config(CONFIG), folder=tmp_path)
    assert [c.id for c in cases] == ["inline/one", "golden/two"]
    assert [(d.code, d.file) for d in diagnostics] == [("E002", str(path))]


def test_the_same_case_in_two_files_is_an_error(tmp_path: Path) -> None:
    write_golden(tmp_path, "a.json", GOLDEN)
    write_golden(tmp_path, "b.json", GOLDEN)
    _, diagnostics = collect(parse_config(CONFIG), folder=tmp_path)
    assert [d.code for d in diagnostics] == ["E015"]


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="No such file"):
        read_source(tmp_path / "none.yaml")
