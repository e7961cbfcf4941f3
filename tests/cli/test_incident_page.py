"""An incident as people read it."""

from __future__ import annotations

import io

from rich.console import Console

from kintsugi.cli.incident_page import incident_page
from tests.cli.conftest import Kt


def test_a_page_says_what_is_known_and_nothing_else(kt_online: Kt) -> None:
    kt_online("incidents", "declare", "It lied", "--json")
    inc = "INC-1"
    for words in (
        ("assign", inc, "commander", "ana"),
        ("assess", inc, "--factor", "impact=2"),
        ("override-severity", inc, "low", "--reason", "a drill"),
        ("judge", inc, "--enforcement", "missed", "--harm", "none"),
        ("explain", inc, "trigger", "a stale index", "--confidence", "known"),
        ("propose", inc, "the index was rebuilt"),
    ):
        assert kt_online("incidents", *words, "--json").code == 0
    found = kt_online("incidents", "show", inc, "--json").json
    screen = Console(file=io.StringIO(), width=100)
    screen.print(incident_page(found))
    assert isinstance(screen.file, io.StringIO)
    lines = {line[:17].strip(): line[17:].strip() for line in screen.file.getvalue().splitlines()}
    assert lines["incident"] == "INC-000001  It lied"
    assert lines["severity"] == "low, in place of high: a drill"
    assert lines["roles"] == "commander ana"
    assert lines["enforcement was"] == "missed"
    assert lines["trigger"] == "a stale index (known)"
    assert lines["H1 open"] == "the index was rebuilt"
    assert not {"merged into", "categories", "decision", "clocks owed"} & lines.keys()
