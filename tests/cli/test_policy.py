"""``kt policy lint`` and ``kt policy test`` as people and pipelines call them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cli.conftest import Kt

CONFIG = """\
pack: {name: dlp, version: 1.2.3}
providers: {targets: [{id: local, provider: simulator}]}
policies: {chain: [dlp-filter, audit-logger]}
policy:
  dlp-filter: {blocked_terms: [aurora], action: block}
  audit-logger: {}
testing:
  suites:
    - name: inline
      cases:
        - name: blocks the term
          input: {messages: [{role: user, content: about aurora}]}
          expected: {verdict: block, reason_code: dlp.term_matched}
"""
GOLDEN = {
    "name": "lets a greeting through",
    "input": {"messages": [{"role": "user", "content": "hello"}]},
    "expected": {"verdict": "allow"},
}
FRAGMENT = """\
testing:
  suites:
    - name: more
      cases:
        - name: blocks it in German
          input: {messages: [{role: user, content: über aurora}]}
          expected: {verdict: block}
"""
PASSTHROUGH = """\
gateway:
  port: 41002
  secret_key_ref:
    env: OPENAI_API_KEY
policies:
  - name: emergency-passthrough
    input:
      - type: content_safety
        action: flag # Log but don't block
    output:
      - type: content_safety
        action: flag
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a configuration and one golden file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy-config.yaml").write_text(CONFIG)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "greeting.json").write_text(json.dumps(GOLDEN))
    return tmp_path


def test_lint_says_what_a_valid_file_holds(folder: Path, kt: Kt) -> None:
    ran = kt("policy", "lint", "--file", "policy-config.yaml")
    assert ran.code == 0
    assert "policy-config.yaml is valid" in ran.out
    assert "dlp 1.2.3" in ran.out
    assert "dlp-filter → audit-logger" in ran.out


def test_lint_as_json_has_the_documented_shape(folder: Path, kt: Kt) -> None:
    report = kt("policy", "lint", "--file", "policy-config.yaml", "--json").json
    assert report["valid"] is True
    assert report["file"] == "policy-config.yaml"
    assert report["pack"] == {"name": "dlp", "version": "1.2.3"}
    assert report["chain"] == ["dlp-filter", "audit-logger"]
    assert (report["policy_count"], report["warnings"], report["errors"]) == (2, [], [])


def test_lint_errors_exit_3_and_point_at_their_place(folder: Path, kt: Kt) -> None:
    (folder / "bad.yaml").write_text(CONFIG.replace("blocked_terms", "blokced_terms"))
    ran = kt("policy", "lint", "--file", "bad.yaml")
    assert ran.code == 3
    assert 'bad.yaml:5:16: error E002: unknown key "blokced_terms"' in ran.out
    assert 'did you mean "blocked_terms"?' in ran.out
    assert "policy lint failed: 1 error" in ran.out
    (error,) = kt("policy", "lint", "--file", "bad.yaml", "--json").json["errors"]
    assert error == {
        "code": "E002",
        "path": "policy.dlp-filter.blokced_terms",
        "message": 'unknown key "blokced_terms"',
        "suggestion": "blocked_terms",
        "file": "bad.yaml",
        "line": 5,
        "column": 16,
        "help": error["help"],
    }


def test_warnings_exit_2_only_when_asked(folder: Path, kt: Kt) -> None:
    (folder / "w.yaml").write_text(CONFIG.replace("1.2.3", "1.2.3, enabled: false"))
    assert kt("policy", "lint", "--file", "w.yaml").code == 0
    assert kt("policy", "lint", "--file", "w.yaml", "--fail-level", "warning").code == 2


@pytest.mark.parametrize("command", [("lint",), ("test",)])
def test_a_file_that_cannot_be_read_exits_1(folder: Path, kt: Kt, command: tuple[str]) -> None:
    ran = kt("policy", *command, "--file", "none.yaml")
    assert (ran.code, ran.out) == (1, "")
    assert "none.yaml" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("lint", "--format", "yaml"),
        ("lint", "--fail-level", "never"),
        ("test", "--run", "("),
        ("test", "--threshold", "120"),
        ("test", "--what"),
    ],
)
def test_wrong_usage_exits_2(folder: Path, kt: Kt, arguments: tuple[str, ...]) -> None:
    assert kt("policy", *arguments).code == 2


def test_lint_reads_standard_input(folder: Path, kt: Kt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"gateway: {prot: 1}")))
    ran = kt("policy", "lint", "--file", "-")
    assert ran.code == 3
    assert "<stdin>:1:11: error E002" in ran.out


def test_the_emergency_passthrough_lints_as_printed(folder: Path, kt: Kt) -> None:
    (folder / "emergency-passthrough.yaml").write_text(PASSTHROUGH)
    ran = kt("policy", "lint", "--file", "emergency-passthrough.yaml", "--json")
    assert (ran.code, ran.json["errors"]) == (0, [])
    assert {one["code"] for one in ran.json["warnings"]} == {"W108", "W111"}
    assert [one["owner"] for one in ran.json["relaxed"]] == [None, None]


def test_a_fragment_is_linted_against_the_named_configuration(folder: Path, kt: Kt) -> None:
    (folder / "more.yaml").write_text(FRAGMENT)
    assert kt("policy", "lint", "--file", "more.yaml").code == 0
    ran = kt("policy", "lint", "--file", "policy-config.yaml", "more.yaml", "--json")
    assert (ran.code, ran.json["case_count"]) == (0, 2)
    (folder / "more.yaml").write_text(FRAGMENT.replace("verdict: block", "policy: pii-detector"))
    ran = kt("policy", "lint", "--file", "policy-config.yaml", "more.yaml", "--json")
    assert [(e["code"], e["file"]) for e in ran.json["errors"]] == [("E025", "more.yaml")]
    assert ran.code == 3


def test_both_sources_of_cases_always_run(folder: Path, kt: Kt) -> None:
    ran = kt("policy", "test", "--json")
    assert ran.code == 0
    assert ran.json["ok"] is True
    first, second = ran.json["results"]
    assert set(first) >= {"name", "suite", "verdict", "reason_code", "passed", "details"}
    assert (first["name"], first["suite"]) == ("blocks the term", "inline")
    assert (first["verdict"], first["reason_code"]) == ("block", "dlp.term_matched")
    assert first["passed"] is True
    assert first["details"]["quality_scores"] is None
    assert first["details"]["policy_results"][0]["policy_name"] == "dlp-filter"
    assert (second["name"], second["verdict"]) == ("lets a greeting through", "allow")


def test_another_folder_is_tested_by_name(
    folder: Path, kt: Kt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    assert len(kt("policy", "test", "--json", "--pack-dir", str(folder)).json["results"]) == 2
    file = str(folder / "policy-config.yaml")
    assert len(kt("policy", "test", "--json", "--file", file).json["results"]) == 2


def test_a_failing_case_says_expected_got_and_which_rule_decided_where(
    folder: Path, kt: Kt
) -> None:
    (folder / "policy-config.yaml").write_text(CONFIG.replace("verdict: block", "verdict: allow"))
    ran = kt("policy", "test")
    assert ran.code == 3
    assert "FAIL  blocks the term  (policy-config.yaml:11:11)" in ran.out
    assert "expected verdict: allow" in ran.out
    assert "got verdict: block" in ran.out
    assert "decided by: dlp-filter; block (dlp.term_matched)" in ran.out
    assert "at /messages/0/content, characters 6 to 12" in ran.out
    assert "not ok: 1 passed, 1 failed" in ran.out


def test_a_run_without_cases_fails(tmp_path: Path, kt: Kt) -> None:
    file = tmp_path / "policy-config.yaml"
    file.write_text(CONFIG[: CONFIG.index("testing:")])
    ran = kt("policy", "test", "--json", "--pack-dir", str(tmp_path))
    assert (ran.code, ran.json["ok"], ran.json["results"]) == (3, False, [])
    assert "no case was found" in ran.json["trouble"][0]


def test_a_pattern_that_finds_nothing_fails(folder: Path, kt: Kt) -> None:
    assert kt("policy", "test", "--run", "inline/").code == 0
    ran = kt("policy", "test", "--run", "nothing")
    assert ran.code == 3
    assert "--run matches none of 2" in ran.out


def test_coverage_below_the_threshold_fails(folder: Path, kt: Kt) -> None:
    ran = kt("policy", "test", "--coverage", "--threshold", "100")
    assert ran.code == 0
    assert "coverage 100.0 %" in ran.out
    ran = kt("policy", "test", "--coverage", "--threshold", "100", "--run", "inline")
    assert ran.code == 3
    assert "never stayed quiet" in ran.out


def test_an_unknown_expectation_is_an_error_and_the_other_cases_still_run(
    folder: Path, kt: Kt
) -> None:
    bad = {**GOLDEN, "name": "bad", "expected": {"verdikt": "allow"}}
    (folder / "tests" / "bad.json").write_text(json.dumps(bad))
    ran = kt("policy", "test", "--json")
    assert (ran.code, ran.json["ok"]) == (3, False)
    assert [r["passed"] for r in ran.json["results"]] == [True, True]
    (error,) = ran.json["errors"]
    assert (error["code"], error["suggestion"]) == ("E002", "verdict")


def test_a_configuration_with_errors_is_not_tested(folder: Path, kt: Kt) -> None:
    (folder / "policy-config.yaml").write_text(CONFIG.replace("action: block", "action: blok"))
    ran = kt("policy", "test", "--json")
    assert (ran.code, ran.json["results"]) == (3, [])
    assert [e["code"] for e in ran.json["errors"]] == ["E008"]


def test_a_fragment_is_tested_against_its_configuration(folder: Path, kt: Kt) -> None:
    (folder / "more.yaml").write_text(FRAGMENT)
    for arguments in (("--file", "policy-config.yaml", "more.yaml"), ("--file", "more.yaml")):
        ran = kt("policy", "test", "--json", *arguments)
        assert ran.code == 0
        assert "blocks it in German" in [r["name"] for r in ran.json["results"]]


def test_a_fragment_without_a_configuration_says_what_to_do(tmp_path: Path, kt: Kt) -> None:
    (tmp_path / "more.yaml").write_text(FRAGMENT)
    ran = kt("policy", "test", "--file", str(tmp_path / "more.yaml"))
    assert ran.code == 3
    assert "E024" in ran.out
    assert "kt policy test --file policy-config.yaml" in ran.out
