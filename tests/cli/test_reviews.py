"""``kt incidents review``: from the record to a file, through an editor, and back."""

from __future__ import annotations

from pathlib import Path

from kintsugi.incidents.review_markdown import EMPTY
from tests.cli.conftest import Kt


def test_a_review_goes_through_an_editor_and_comes_back(kt_online: Kt, tmp_path: Path) -> None:
    assert kt_online("incidents", "declare", "It lied").code == 0
    exported = kt_online("incidents", "review", "INC-1", "--format", "md")
    file = tmp_path / "f.md"
    file.write_text(exported.out.replace(EMPTY, "She should have asked."))
    taken = kt_online("incidents", "review", "INC-1", "--import", str(file)).json
    assert taken["changed"] == ["cause", "lesson", "surprise"]
    assert len(kt_online("incidents", "review", "INC-1", "--check").json) == 3
    made = kt_online("incidents", "review", "INC-1", "--publish", "internal").json
    assert (made["number"], made["remarks"]) == (1, 3)
    assert len(kt_online("incidents", "review", "INC-1", "--editions").json) == 1
    paper = tmp_path / "review.pdf"
    ran = kt_online("incidents", "review", "INC-1", "--format", "pdf", "--output", str(paper))
    assert (ran.code, paper.read_bytes()[:5]) == (0, b"%PDF-")
    page = kt_online("incidents", "review", "INC-1", "--format", "html", "--edition", "1").out
    assert page.startswith("<!doctype html>")
    assert (
        "redacted"
        not in kt_online("incidents", "review", "INC-1", "--format", "md", "--redacted").out
    )


def test_what_cannot_be_asked_for_is_told(kt_online: Kt) -> None:
    assert kt_online("incidents", "declare", "It lied").code == 0
    for words in (("--format", "docx"), ("--format", "md", "--check")):
        assert kt_online("incidents", "review", "INC-1", *words).code == 2
    # Without options it is the move, which begins at monitoring.
    refused = kt_online("incidents", "review", "INC-1")
    assert (refused.code, "begins at monitoring" in refused.err) == (1, True)
