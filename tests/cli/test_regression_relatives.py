"""``kt regressions minimise``, ``variants`` and ``twins``, and one word on several cases."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kintsugi.policy.parse import parse_config
from kintsugi.policy.plan import revision
from tests.cli.conftest import ControlPlane, Kt

CONFIG = """\
pack: {name: shop, version: 1.0.0}
providers: {targets: [{id: sim, provider: simulator}]}
policies: {chain: [dlp-filter, audit-logger]}
policy:
  dlp-filter: {blocked_terms: [TERM], action: block}
  audit-logger: {}
"""
CASE = """\
testing:
  suites:
    - name: written
      cases:
        - name: the leak
          input:
            messages: [{role: user, content: "Please note that aurora ships in May."}]
          expected: {verdict: block}
"""


@pytest.fixture
def miss(control_plane: ControlPlane, kt_online: Kt, tmp_path: Path) -> str:
    """A case that the first version lets through, and the second does not."""
    for age_days, term in ((1, "zebra"), (0, "aurora")):
        content = CONFIG.replace("TERM", term)
        control_plane.stores.configurations.put(
            config_id="shop",
            content=content,
            revision=revision(parse_config(content)),
            author="ada",
            note="",
            pack_version="1.0.0",
            now=datetime.now(UTC) - timedelta(days=age_days, minutes=-1),
        )
    file = tmp_path / "case.yaml"
    file.write_text(CASE)
    assert kt_online("incidents", "declare", "It leaked").code == 0
    made = kt_online("regressions", "add", "--file", str(file), "--incident", "INC-1", "--json")
    return str(made.json["cases"][0]["regression"]["id"])


def test_a_case_is_minimised_and_given_variants_and_twins(kt_online: Kt, miss: str) -> None:
    told = kt_online("regressions", "minimise", miss, "--json").json
    assert (told["red"], told["green"], told["complete"]) == ("shop@1", "shop@2", True)
    assert told["regression"]["case"]["input"]["messages"][0]["content"] == "aurora"
    wanted = ("--technique", "base64", "--technique", "homoglyphs")
    told = kt_online("regressions", "variants", miss, *wanted, "--json").json
    assert [one["regression"]["technique"] for one in told["relatives"]] == ["homoglyphs", "base64"]
    told = kt_online("regressions", "twins", miss, "--dry-run", "--json").json
    assert [one["regression"]["technique"] for one in told["relatives"]] == ["remainder"]
    listed = kt_online("regressions", "list", "--json").json
    assert sorted(one["kind"] for one in listed) == ["case", "variant", "variant"]


def test_a_terminal_shows_what_came_of_it(
    kt_online: Kt, miss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    shown = kt_online("regressions", "minimise", miss, "--with", "shop@2").out
    assert "6 of 37" in shown
    assert 'content: "aurora"' in shown
    shown = kt_online("regressions", "variants", miss, "--technique", "leetspeak").out
    assert "leetspeak" in shown
    assert "shop@1, shop@2" in shown
    shown = kt_online("regressions", "twins", miss).out
    assert "remainder" in shown
    assert "differ, not proposed" in shown


def test_several_are_decided_about_at_once(
    kt_online: Kt, miss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kt_online("regressions", "variants", miss, "--technique", "leetspeak")
    told = kt_online("regressions", "approve", "REG-1", "REG-2", "--dry-run", "--json")
    assert (told.code, told.json["done"], told.json["dry_run"]) == (0, 2, True)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    some = kt_online("regressions", "approve", "REG-1", "REG-9")
    assert some.code == 3
    assert "done" in some.out
    assert "refused" in some.out
    rest = kt_online("regressions", "reject", "REG-1", "REG-2", "--reason", "no", "--json")
    assert [one["outcome"] for one in rest.json["cases"]] == ["refused", "done"]


def test_what_cannot_be_attempted_says_why(kt_online: Kt, miss: str) -> None:
    refused = kt_online("regressions", "minimise", miss, "--with", "shop@1")
    assert refused.code == 1
    assert "not attempted" in refused.err
    assert "name a configuration that puts it right" in refused.err


def test_a_file_that_says_nothing_is_not_taken_for_none(
    kt_online: Kt, miss: str, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.yaml"
    empty.write_text(" \n")
    strange = tmp_path / "strange.yaml"
    strange.write_bytes(b"a: \xff")
    for command in (
        ("add", "--incident", "INC-1"),
        ("edit", miss),  # or an editor would open
        ("run", miss),  # or it would run on what is published
    ):
        refused = kt_online("regressions", *command, "--file", str(empty))
        assert (refused.code, "is empty" in refused.err) == (2, True), command
        refused = kt_online("regressions", *command, "--file", str(strange))
        assert "is no text in UTF-8: byte 4" in refused.err
        refused = kt_online("regressions", *command, "--file", str(tmp_path / "none"))
        assert "No such file" in refused.err


def test_what_to_run_is_said_in_the_words_of_the_command(
    kt_online: Kt, miss: str, tmp_path: Path
) -> None:
    refused = kt_online("regressions", "run")
    assert refused.code == 2
    assert "--incident INC-7" in refused.err
    file = tmp_path / "shop.yaml"
    file.write_text(CONFIG)
    refused = kt_online("regressions", "run", miss, "--with", "shop@1", "--file", str(file))
    assert refused.code == 2


def test_relatives_are_found_by_an_id_as_people_write_it(kt_online: Kt, miss: str) -> None:
    made = kt_online("regressions", "variants", miss, "--technique", "leetspeak", "--json").json
    [kept] = [one["regression"]["id"] for one in made["relatives"]]
    for option in ("--of", "--from"):
        found = kt_online("regressions", "list", option, "reg-1", "--json").json
        assert [one["id"] for one in found] == [kept]
    refused = kt_online("regressions", "list", "--status", "finished")
    assert refused.code == 2
    assert "query.state: Input should be 'proposed', 'approved'" in refused.err
    assert "literal[" not in refused.err
