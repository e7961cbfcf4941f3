"""``kt policy schema`` prints and writes the schema; lint shows what is relaxed in each format."""

from __future__ import annotations

import json
from pathlib import Path

from kintsugi.policy.json_schema import configuration_schema
from kintsugi.policy.lint import lint
from kintsugi.replay.reports import LINT_FORMATS
from tests.cli.conftest import Kt

RELAXED = """\
pack: {name: p, version: 1.0.0}
gateway: {fail_mode: allow}
providers: {targets: [{id: local, provider: simulator}]}
policies: {chain: [pii-detector]}
policy:
  pii-detector:
    mode: monitor
    relaxed: {owner: ada, reason: measuring, expires: 2026-12-31}
"""


def test_the_schema_is_printed_as_json(kt: Kt) -> None:
    ran = kt("policy", "schema")
    assert (ran.code, ran.json) == (0, configuration_schema())


def test_the_schema_is_written_where_it_is_wanted(tmp_path: Path, kt: Kt) -> None:
    file = tmp_path / "s.json"
    ran = kt("policy", "schema", "--output", str(file))
    assert (ran.code, ran.out) == (0, "")
    assert json.loads(file.read_text()) == configuration_schema()
    assert kt("policy", "schema", "--output", str(tmp_path / "no" / "s.json")).code == 2


def test_reports_list_what_is_relaxed_and_who_answers() -> None:
    report = lint(RELAXED, file="p.yaml")
    lines = LINT_FORMATS["text"](report).splitlines()
    assert lines[-2:] == [
        "  relaxed   gateway fail_mode: allow: nobody answers for it",
        "  relaxed   policy.pii-detector mode: monitor, until 2026-12-31 by ada: measuring",
    ]
    first, second = json.loads(LINT_FORMATS["json"](report))["relaxed"]
    assert (first["path"], first["owner"]) == ("gateway.fail_mode", None)
    assert (second["owner"], second["expires"]) == ("ada", "2026-12-31")
