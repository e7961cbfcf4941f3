"""``kt policy diff`` on files, on stdin and on versions of the control plane."""

from __future__ import annotations

from pathlib import Path

import pytest

from kintsugi.cli.policy_diff import told
from kintsugi.policy.diff import compare
from kintsugi.policy.parse import parse_config
from tests.cli.conftest import Kt
from tests.policy.test_diff import BASE

WEAKER = BASE.replace("action: redact", "action: flag").replace("[aurora]", "[aurora, borealis]")


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(BASE)
    Path("b.yaml").write_text(WEAKER)


def test_two_files_are_compared_and_exit_codes_tell_on_request(kt: Kt) -> None:
    ran = kt("policy", "diff", "a.yaml", "b.yaml", "--json")
    assert ran.code == 0
    assert ran.json["summary"] == {"relaxed": 1, "tightened": 1, "changed": 0}
    assert ran.json["same_behaviour"] is False
    assert kt("policy", "diff", "a.yaml", "b.yaml", "--exit-code").code == 3
    assert kt("policy", "diff", "a.yaml", "a.yaml", "--exit-code").code == 0


def test_words_begin_with_what_is_relaxed() -> None:
    lines = told(compare(parse_config(BASE), parse_config(WEAKER))).splitlines()
    assert lines == [
        "relaxed   ~ policy.pii-detector.action: redact → flag",
        "tightened + policy.dlp-filter.blocked_terms.borealis: borealis",
        "1 relaxed, 1 tightened, 0 changed",
    ]
    assert told(compare(parse_config(BASE), parse_config(BASE))) == "the same behaviour"


def test_a_file_that_is_missing_or_wrong_is_named(kt: Kt) -> None:
    ran = kt("policy", "diff", "a.yaml", "c.yaml")
    assert (ran.code, "c.yaml" in ran.err) == (2, True)
    Path("c.yaml").write_text("pack: {}")
    ran = kt("policy", "diff", "a.yaml", "c.yaml")
    assert (ran.code, "c.yaml:1" in ran.err) == (3, True)


def test_versions_of_the_control_plane_are_compared(kt_online: Kt) -> None:
    kt = kt_online
    for file in ("a.yaml", "b.yaml"):
        made = kt("config", "apply", "--file", file, "--id", "p", "--timeout", "0")
        assert made.code == 0, made.err
    ran = kt("policy", "diff", "p@1", "p@latest", "--json")
    assert ran.json["summary"]["relaxed"] == 1
    ran = kt("policy", "diff", "p@2", "b.yaml", "--json")
    assert ran.json["same_behaviour"] is True
