"""``/v1/incidents/{id}/review``: read, edited, taken back in, published; and its close gate."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from kintsugi.incidents.review_markdown import EMPTY
from kintsugi.model.stores import Stores
from tests.control_plane import Clock, blocked_event

REVIEW = "/v1/incidents/INC-1/review"


def post(client: TestClient, path: str, **body: Any) -> dict[str, Any]:
    answer = client.post(f"/v1/{path}", json=body)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()["data"]
    return found


@pytest.fixture
def reviewed(client: TestClient, stores: Stores) -> str:
    """The review of an incident with events, a cause and an action, as Markdown."""
    seen = [blocked_event(number) for number in range(3)]
    stores.events.append(seen)
    post(client, "incidents", title="Over-blocked", event_ids=[one.id for one in seen])
    post(client, "incidents/INC-1/explain", part="trigger", text="a filter", confidence="known")
    post(client, "actions", incident="INC-1", title="Test edge cases", kind="test", owner="bo")
    return client.get(REVIEW).text


def test_the_review_tells_what_the_record_holds(client: TestClient, reviewed: str) -> None:
    assert client.get(REVIEW).headers["content-type"].startswith("text/markdown")
    assert "Decision events of this incident: **3** — `GET /v1/events?incident=INC-" in reviewed
    assert "Configuration versions: **1: support-prod@3 (3)**" in reviewed
    # Nobody has said when it began: its first event tells.
    assert "- **First occurrence:** 2026-04-23 12:00 UTC" in reviewed
    # The runner in memory was not taught these statements; the review is read all the same.
    assert "Blocked during the window: not known (the query runner" in reviewed
    assert "- [ ] Test edge cases (test; bo; " in reviewed
    entry = client.get("/v1/incidents/INC-1/timeline").json()["data"][-1]["id"]
    address = f"/v1/incidents/INC-000001/timeline/{entry}"
    assert address in reviewed
    assert client.get(address).json()["data"]["id"] == entry


def test_the_review_is_a_page_and_a_document(client: TestClient, reviewed: str) -> None:
    page = client.get(REVIEW, params={"format": "html"})
    assert page.headers["content-type"].startswith("text/html")
    assert "<h2>Root cause</h2>" in page.text
    paper = client.get(REVIEW, params={"format": "pdf"})
    assert (paper.headers["content-type"], paper.content[:5]) == ("application/pdf", b"%PDF-")
    assert "INC-000001-review.pdf" in paper.headers["content-disposition"]
    strangers = client.get(REVIEW, params={"redacted": "true"}).text
    assert not strangers.startswith("---")


def test_an_edited_review_is_taken_in_and_published(
    client: TestClient, clock: Clock, reviewed: str
) -> None:
    edited = reviewed
    for words in (
        "The filter was broad.",
        "Nobody had seen German.",
        "Somebody should have asked.",
    ):
        edited = edited.replace(EMPTY, words, 1)
    edited = edited.replace("- [ ] Test edge cases", "- [x] Test edge cases")
    dry = client.post(f"{REVIEW}/import", json={"text": edited}, params={"dry_run": "true"})
    assert dry.json()["data"]["changed"] == ["cause", "lesson", "surprise"]
    assert EMPTY in client.get(REVIEW).text
    taken = post(client, "incidents/INC-1/review/import", text=edited)
    assert [one["message"][:21] for one in taken["findings"]] == ["this line is computed"]
    [remark] = taken["wording"]
    assert remark["words"] == "should have"
    now = client.get(REVIEW).text
    assert "Nobody had seen German." in now
    assert "- [ ] Test edge cases" in now
    again = post(client, "incidents/INC-1/review/import", text=now)
    assert (again["changed"], again["findings"]) == ([], [])
    # The first file again: its people's parts were empty then, and are not any more.
    conflict = client.post(f"{REVIEW}/import", json={"text": reviewed.replace(EMPTY, "x", 1)})
    assert (conflict.status_code, conflict.json()["errors"][0]["code"]) == (409, "conflict")

    first = post(client, "incidents/INC-1/review/publish")
    clock.advance(hours=1)
    second = post(client, "incidents/INC-1/review/publish", audience="redacted", redact=["German"])
    assert (first["number"], second["number"], first["remarks"]) == (1, 2, 1)
    listed = client.get(f"{REVIEW}/editions").json()["data"]
    assert [one["digest"] for one in listed] == [first["digest"], second["digest"]]
    assert "German" in client.get(f"{REVIEW}/editions/1").text
    assert "Nobody had seen [redacted]." in client.get(f"{REVIEW}/editions/2").text
    assert client.get(f"{REVIEW}/editions/3").status_code == 404
    told = client.get("/v1/incidents/INC-1/timeline").json()["data"][0]
    assert told["detail"]["digest"] == second["digest"]


def test_nothing_is_published_before_people_have_written(client: TestClient, reviewed: str) -> None:
    refused = client.post(f"{REVIEW}/publish", json={})
    assert refused.status_code == 409
    assert [one["where"] for one in refused.json()["errors"]] == [
        *("review.cause", "review.surprise", "review.lesson")
    ]
    assert client.get(f"{REVIEW}/wording").json()["data"]["wording"] == []


def test_the_gate_of_the_review_is_passed_by_an_edition(client: TestClient, reviewed: str) -> None:
    def gate() -> str:
        found = client.get("/v1/incidents/INC-1/gates").json()["data"]
        return str(next(one for one in found if one["gate"] == "review")["status"])

    post(client, "incidents/INC-1/override-severity", severity="high", reason="press")
    assert gate() == "missing"
    text = client.get(REVIEW).text.replace(EMPTY, "words")
    post(client, "incidents/INC-1/review/import", text=text)
    post(client, "incidents/INC-1/review/publish")
    assert gate() == "passed"


def test_what_is_no_review_is_refused(client: TestClient, reviewed: str) -> None:
    for text in ("words", reviewed.replace("INC-000001", "INC-000007")):
        answer = client.post(f"{REVIEW}/import", json={"text": text})
        assert answer.status_code == 422, answer.text
