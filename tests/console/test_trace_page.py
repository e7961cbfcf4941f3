"""The page of one trace: the tree, what is missing, and the way from a decision to it."""

from __future__ import annotations

import re
from datetime import timedelta

from starlette.testclient import TestClient

from kintsugi.model.span import Span, Step
from kintsugi.model.stores import Stores
from tests.control_plane import NOON, blocked_event, make_event

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def span(number: int, parent: int = 0, **changes: str) -> Span:
    at = NOON + timedelta(seconds=number)
    return Span(
        trace_id=TRACE,
        span_id=f"{number:016x}",
        parent_span_id=f"{parent:016x}" if parent else "",
        name=changes.get("name", f"step {number}"),
        step=Step.AGENT,
        started_at=at,
        ended_at=at,
        service="shop",
    )


def test_a_decision_leads_to_its_trace_and_back(client: TestClient, stores: Stores) -> None:
    event = blocked_event(2, trace_id=TRACE, parent_span_id=span(1).span_id)
    stores.events.append([event, make_event(3)])
    stores.spans.append([span(1), span(4, 0xFF)])
    assert f'href="/traces/{TRACE}"' in client.get(f"/events/{event.id}").text
    assert "/traces/" not in client.get(f"/events/{make_event(3).id}").text
    page = client.get(f"/traces/{TRACE}").text
    rows = re.findall(r'<tr class="source-(\w+)">\s*<td class="depth-(\d+)">', page)
    assert rows == [("span", "0"), ("decision", "1"), ("missing", "0"), ("span", "1")]
    assert f'href="/events/{event.id}"' in page
    assert "this step was not reported" in page
    assert "prompt_injection.detected" in page
    assert "Downstream writes" in page


def test_what_applications_call_their_steps_is_shown_harmless(
    client: TestClient, stores: Stores
) -> None:
    stores.spans.append([span(1, name="<script>alert(1)</script>\u202e")])
    page = client.get(f"/traces/{TRACE}").text
    assert "<script>alert" not in page
    assert "U+202E" in page


def test_a_trace_that_nobody_told_of_is_an_error_page(client: TestClient) -> None:
    answer = client.get("/traces/ffff", headers={"accept": "text/html"})
    assert answer.status_code == 404
    assert "no decision and no reported span" in answer.text
