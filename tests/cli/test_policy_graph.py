"""``kt policy graph`` in its formats."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Kt
from tests.policy.test_graph import SOURCE


def test_the_command_draws_a_file(tmp_path: Path, kt: Kt) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(SOURCE)
    assert kt("policy", "graph", "-f", str(file)).out.startswith("flowchart LR\n")
    assert kt("policy", "graph", "-f", str(file), "--format", "dot").out.startswith('digraph "p" {')
    assert kt("policy", "graph", "-f", str(file), "--json").json["name"] == "p"
    file.write_text("pack: {}")
    assert kt("policy", "graph", "-f", str(file)).code == 3
