"""``kt policy bench`` on built-in and on given texts."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Kt

CONFIG = """\
pack: {name: p, version: 1.0.0}
providers: {targets: [{id: local, provider: simulator}]}
policies: {chain: [dlp-filter]}
policy: {dlp-filter: {blocked_terms: [aurora]}}
"""


def test_costs_of_built_in_texts(tmp_path: Path, kt: Kt) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(CONFIG)
    ran = kt("policy", "bench", "-f", str(file), "--runs", "3", "--json")
    assert ran.code == 0
    first = ran.json["costs"][0]
    assert (first["policy"], first["phase"], first["share"]) == ("whole chain", "input", 1.0)
    assert first["p99_microseconds"] >= first["p50_microseconds"] > 0


def test_costs_of_given_texts(tmp_path: Path, kt: Kt) -> None:
    file, texts, prose = (tmp_path / name for name in ("p.yaml", "texts.jsonl", "prose.txt"))
    file.write_text(CONFIG)
    texts.write_text("\n".join(json.dumps({"text": "x" * 100, "label": 0}) for _ in range(5)))
    prose.write_text("y" * 2048)
    ran = kt("policy", "bench", str(texts), "-f", str(file), "--runs", "1", "--limit", "3")
    assert (ran.json["texts"], ran.json["costs"][0]["growth"]) == (3, None)
    ran = kt("policy", "bench", str(prose), "-f", str(file), "--runs", "1")
    assert (ran.json["texts"], ran.json["kib"]) == (1, 2.0)


def test_a_file_without_texts_is_named(tmp_path: Path, kt: Kt) -> None:
    file, texts = tmp_path / "p.yaml", tmp_path / "texts.jsonl"
    file.write_text(CONFIG)
    texts.write_text("")
    ran = kt("policy", "bench", str(texts), "-f", str(file))
    assert (ran.code, "no record has a text" in ran.err) == (2, True)
    assert kt("policy", "bench", str(tmp_path / "none"), "-f", str(file)).code == 2
