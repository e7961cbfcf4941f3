"""What the pages say, and that hostile text stays text."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from html.parser import HTMLParser

import msgspec
import pytest
from starlette.testclient import TestClient

from kintsugi.api.permissions import Scope
from kintsugi.console.rendering import ago, duration, hostile, laid_out, ms
from kintsugi.model.custody import CustodyFilter
from kintsugi.model.decision import Phase
from kintsugi.model.erasure import ErasureJob
from kintsugi.model.event import (
    Attempt,
    Change,
    DecisionEvent,
    ErasedNote,
    GatheredFacts,
    Payload,
    Quarantine,
    RaisedEscalation,
    ToolFailure,
    Unfinished,
    Unredacted,
    UsedApproval,
)
from kintsugi.model.facts import Counter, RemoteAnswer
from kintsugi.model.signal import Observation
from kintsugi.model.stores import Stores
from kintsugi.model.verdict import Verdict
from tests.control_plane import (
    CONFIGURATION,
    NOON,
    Clock,
    blocked_event,
    make_event,
    make_report,
    make_token,
)

ATTACKS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'-alert(1)-'",
    "{{ 7 * 7 }}",
    "javascript:alert(1)",
    "</code></pre><svg onload=alert(1)>",
)


class Tags(HTMLParser):
    """Every tag and attribute of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def test_empty_states_say_what_to_do_next(client: TestClient) -> None:
    page = client.get("/").text
    assert "No decision yet" in page
    assert "/v1/chat/completions" in page
    assert "kt gateway run" in page
    assert "No decision in the last hour" in page


def test_the_first_page_shows_decisions_figures_and_gateways(
    client: TestClient, stores: Stores, clock: Clock
) -> None:
    stores.events.append([make_event(number) for number in range(9)] + [blocked_event(10)])
    stores.configurations.put(
        config_id="support-prod",
        content=CONFIGURATION,
        revision="sha256:" + "3f" * 32,
        author="ana",
        note="",
        pack_version="1.4.0",
        now=clock.now,
    )
    stores.gateways.put(make_report(now=clock.now), now=clock.now)
    clock.advance(seconds=30)
    stores.gateways.put(make_report(now=clock.now), now=clock.now)
    page = client.get("/").text
    assert "10.0 %" in page
    assert "in force" in page
    assert "prompt_injection.detected" in page
    assert page.count('class="row-link"') == 10
    assert 'title="2026-04-23 12:00:08 UTC, 22 seconds ago"' in page


def test_filters_have_the_names_of_the_api(client: TestClient, stores: Stores) -> None:
    blocked = blocked_event(2)
    stores.events.append([make_event(1), blocked])
    for query in (
        "verdict=block",
        "outcome=blocked",
        "policy=prompt-injection",
        "since=1h&decision=deny",
    ):
        page = client.get(f"/?{query}").text
        assert re.findall(r'href="/events/([0-9a-f-]+)"', page) == [blocked.id]
    assert "Nothing matches" in client.get("/?user=nobody").text


def test_a_filter_that_cannot_be_used_is_shown_again_with_the_reason(client: TestClient) -> None:
    answer = client.get("/?since=soon&user=ana&colour=red")
    assert answer.status_code == 422
    assert 'value="soon"' in answer.text
    assert 'aria-describedby="e-since"' in answer.text
    assert 'value="ana"' in answer.text
    assert "is no filter" in answer.text


def test_older_decisions_are_a_link_away_and_stand_still(
    client: TestClient, stores: Stores
) -> None:
    stores.events.append([make_event(number, user_id="ana") for number in range(60)])
    first = client.get("/?user=ana").text
    (address,) = re.findall(r'class="pager"><a href="([^"]+)"', first)
    older = client.get(address.replace("&amp;", "&")).text
    assert older.count('class="row-link"') == 10
    assert "older page, which stands still" in older
    assert re.search(r'id="decisions"[^>]*hx-trigger', first)
    assert not re.search(r'id="decisions"[^>]*hx-trigger', older)


def test_a_decision_shows_every_call_of_a_target(client: TestClient, stores: Stores) -> None:
    attempts = (Attempt("<b>first", 0.5, 10.0, error="upstream.timeout"), Attempt("b", 11, 2, 200))
    event = msgspec.structs.replace(blocked_event(1), attempts=attempts)
    stores.events.append([event])
    page = client.get(f"/events/{event.id}").text
    assert "Calls of targets" in page
    assert "upstream.timeout" in page
    assert "answered 200" in page
    assert "<b>first" not in page


def test_a_decision_shows_its_whole_chain(client: TestClient, stores: Stores) -> None:
    event = blocked_event(1)
    stores.events.append([event])
    page = client.get(f"/events/{event.id}").text
    for words in (
        "Prompt injection",
        "monitor: recorded, not acted on",
        "blocked by prompt-injection",
        "instruction-override",
        "/messages/0/content",
        "characters 0 to 28",
        "base64+folded",
        "support-prod@3",
        event.revision,
        "2026-04-23 12:00:01 UTC",
        "[REDACTED:US_SSN]",
        "1 place masked",
    ):
        assert words in page, words
    order = [page.index(f"<strong>{found.policy_name}") for found in event.evaluations]
    assert order == sorted(order)


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_text_adds_no_tag_and_no_handler(
    client: TestClient, stores: Stores, attack: str
) -> None:
    plain, nasty = (
        blocked_event(1),
        blocked_event(
            2,
            user_id=attack,
            model=attack,
            gateway_id=attack,
            config_version=attack,
            reason_code=attack,
            policy_name=attack,
            session_id=attack,
            error=attack,
            payload=Payload(request=attack, response=attack),
        ),
    )
    stores.events.append([plain, nasty])
    harmless = {
        tag
        for address in ("/", f"/events/{plain.id}", "/?user=nobody", "/?colour=red")
        for tag in Tags(client.get(address).text).tags
    }
    for address in ("/", f"/events/{nasty.id}", f"/?user={attack}", f"/?{attack}=1"):
        tags = Tags(client.get(address).text)
        assert set(tags.tags) <= harmless
        assert tags.tags.count("script") == 3
        assert not [name for name, _ in tags.attributes if name.startswith("on")]
        assert not [
            value
            for name, value in tags.attributes
            if name in {"href", "src", "action"} and not value.startswith(("/", "#"))
        ]


def test_characters_that_hide_or_reorder_text_are_named() -> None:
    shown = str(hostile("a\u202eb\u200bc\x1b\n<b>"))
    assert shown.startswith('a<span class="unseen" title="right-to-left override">U+202E</span>b')
    assert "U+200B" in shown
    assert "U+001B" in shown
    assert shown.endswith("\n&lt;b&gt;")


def test_an_unknown_decision_is_an_error_page(client: TestClient) -> None:
    answer = client.get("/events/nope")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "not_found" in answer.text


def test_a_page_that_does_not_exist_says_where_to_look(client: TestClient) -> None:
    answer = client.get("/incidents/INC-1")
    assert answer.status_code == 404
    assert "There is no page at this address" in answer.text
    assert "`kt incidents show INC-1`" in answer.text


def test_the_api_answers_a_browser_with_problems_all_the_same(client: TestClient) -> None:
    answer = client.get("/v1/events")
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_reader_without_gateways_read_is_told_which_scope_is_missing(
    anonymous: TestClient, stores: Stores
) -> None:
    anonymous.headers["accept"] = "text/html"
    anonymous.post("/sign-in", data={"token": make_token(stores, Scope.EVENTS_READ)})
    answer = anonymous.get("/")
    assert answer.status_code == 403
    assert "gateways:read" in answer.text


def test_assets_may_be_kept_for_ever_under_their_own_address(client: TestClient) -> None:
    page = client.get("/").text
    addresses = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert len(addresses) >= 6
    for address in set(addresses):
        answer = client.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert client.get("/static/old/console.css").headers["cache-control"] == "no-store"
    for name in ("../app.py", "..%2fapp.py", "nope.js", "/etc/passwd"):
        assert client.get(f"/static/x/{name}").status_code == 404


def test_every_verdict_has_a_word_and_a_mark_besides_its_colour(
    client: TestClient, stores: Stores
) -> None:
    stores.events.append(
        [make_event(number, verdict=verdict) for number, verdict in enumerate(Verdict)]
    )
    page = client.get("/").text
    for verdict in Verdict:
        assert re.search(
            rf'verdict-{verdict.value}"><span class="mark"[^>]*>.</span>{verdict.value}<', page
        )


def test_durations_and_sizes_are_in_words() -> None:
    assert ago(NOON, NOON) == "just now"
    assert ago(NOON, NOON + timedelta(minutes=1)) == "1 minute ago"
    assert ago(NOON, NOON + timedelta(days=3)) == "3 days ago"
    assert [duration(s) for s in (5, 700, 12_000, 190_000)] == [
        "5 s",
        "11 min",
        "3 h 20 min",
        "2 d 4 h",
    ]
    assert [ms(d) for d in (0.413, 12.3, 2345)] == ["0.41 ms", "12 ms", "2.3 s"]
    assert laid_out('{"a":1}') == '{\n  "a": 1\n}'
    assert laid_out("not json") == "not json"
    assert laid_out("[" * 5000) == "[" * 5000


def test_what_waits_for_people_is_on_one_page(client: TestClient, stores: Stores) -> None:
    assert "Nothing waits for a person." in client.get("/oversight").text
    escalated = make_event(1, verdict=Verdict.ESCALATE, policy_name="human-oversight")
    frozen = make_event(2, verdict=Verdict.QUARANTINE)
    frozen = msgspec.structs.replace(frozen, quarantine=Quarantine(frozen.id, "agent", "<b>bot"))
    stores.events.append([escalated, frozen])
    text = client.get("/oversight").text
    assert escalated.id in text
    assert "human-oversight" in text
    assert "agent <strong>&lt;b&gt;bot</strong>" in text


def test_signals_stand_on_the_first_page_until_somebody_resolves_them(
    client: TestClient, stores: Stores
) -> None:
    assert "Nothing to look at." in client.get("/signals").text
    seen = Observation(
        "journal_gap", "k", "high", "gateway:gw-1", "<i>lines</i> 4 to 6 are missing"
    )
    raised = stores.signals.observe(seen, now=NOON)
    for page in ("/", "/signals"):
        assert "&lt;i&gt;lines&lt;/i&gt; 4 to 6 are missing" in client.get(page).text
    stores.signals.resolve(raised.id, by="ada", resolution="known", now=NOON)
    assert "4 to 6 are missing" not in client.get("/").text
    assert "known (ada)" in client.get("/signals").text


def full_event() -> DecisionEvent:
    """Every field of the record has something to show."""
    base = blocked_event(1)
    return msgspec.structs.replace(
        base,
        dialect="mcp",
        streamed=True,
        streaming_mode="window",
        user_id="user-0",
        tenant_id="tenant-0",
        session_id="session-0",
        agent_id="agent-0",
        workflow="workflow-0",
        request_id="request-0",
        trace_id="trace-0",
        parent_span_id="span-0",
        key_name="key-0",
        incident_id="incident-0",
        error="upstream.timeout",
        upstream_status=504,
        output_tokens=71,
        request_bytes=12_345,
        response_bytes=67_890,
        response_model="answering-model",
        mcp_method="tools/call",
        tool_name="transfer_money",
        payload_digest="sha256:payload",  # the store writes its own
        fail_open=True,
        attempts=(Attempt("first-target", 0.5, 10.0, error="upstream.reset"),),
        changes=(Change("custom", Phase.INPUT, "strip_tools", "stripped: run_shell"),),
        tool_failures=(ToolFailure("read_file", "exit", "exit code 2", "/messages/3"),),
        escalation=RaisedEscalation(base.id, Phase.TOOL, "sha256:action", NOON, held=True),
        approval=UsedApproval("escalation-0", "rita", NOON),
        quarantine=Quarantine("quarantine-0", "agent", "bot-7"),
        containments=("containment-0", "containment-1"),
        pinned_from="support-prod@9",
        unfinished=Unfinished("holding", waits=1),
        facts=GatheredFacts(
            claims={"x-account": "account-0"},
            counters={"rate-limit/user/ada/60": Counter(61, granted=False, retry_after_seconds=9)},
            remote={"moderation": RemoteAnswer(error="timeout"), "judge": RemoteAnswer(200, "yes")},
        ),
    )


def test_the_page_of_a_decision_shows_everything_on_its_record(
    client: TestClient, stores: Stores
) -> None:
    event = full_event()
    assert not [
        name
        for name in event.__struct_fields__
        if getattr(event, name) in ("", 0, 0.0, (), None, False)
    ]
    stores.events.append([event])
    page = re.sub(r"\s+", " ", html.unescape(client.get(f"/events/{event.id}").text))
    for words in (
        *("mcp", "window", "user-0", "session-0", "agent-0", "workflow-0", "request-0", "trace-0"),
        *("span-0", "key-0", "incident-0", "upstream.timeout", "504", "12,345 / 67,890"),
        *("tenant-0", "answering-model", "tools/call", "transfer_money", "first-target"),
        *("upstream.reset", "strip_tools", "stripped: run_shell", "read_file", "exit code 2"),
        *("/messages/3", "sha256:action", "the client waited", "/escalations/escalation-0"),
        *(
            "containment-0, containment-1",
            "support-prod@9",
            "Ended while</dt><dd>waiting for a person",
            "was never judged",
        ),
        *("by rita", "agent bot-7", "/quarantines/quarantine-0", "account-0", "61 before it"),
        *("refused", "may fit in 9 s", "answered 200 with 3 characters", "fail_mode: allow"),
        *("sim-echo", "simulator / sim", "support", "w1", "12 / 71", "0.41 ms", "12 ms"),
        *("/configurations/support-prod/versions/3", event.revision, event.engine_version),
        *(stores.events.get(event.id).payload_digest, event.request_digest, event.response_digest),
        *(event.gateway_id, "2026-04-23 12:00:01"),
    ):
        assert words in page, words


def test_what_was_erased_is_said_and_not_shown_as_empty(
    client: TestClient, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores.events.append([event := make_event(1)])
    erased = msgspec.structs.replace(event, payload=Payload(erased=ErasedNote(NOON, "erasure-0")))
    monkeypatch.setattr(stores.events, "get", lambda _: erased)
    page = client.get(f"/events/{event.id}").text
    assert "<strong>Erased</strong> at <time" in page
    assert "erasure-0" in page


def test_an_erased_decision_says_when_and_by_what(client: TestClient, stores: Stores) -> None:
    event = blocked_event(1, user_id="ada")
    stores.events.append([event])
    job = ErasureJob("019d0000-0000-7000-8000-000000000001", "user:ada", "", "t", "queued", NOON)
    stores.erasures.request(job)
    claimed = stores.erasures.claim(now=NOON, stale_after_seconds=9)
    assert claimed is not None
    stores.erasures.destroy(claimed, now=NOON)
    page = client.get(f"/events/{event.id}").text
    assert "<strong>Erased</strong>" in page
    assert job.id in page
    assert "[REDACTED:US_SSN]" not in page


def test_only_who_may_reveal_finds_the_form_and_what_it_shows_is_on_record(
    client: TestClient, stores: Stores
) -> None:
    payload = Payload("call [PHONE]", masked=1, unredacted=Unredacted("call 555-0100"))
    event = blocked_event(1, payload=payload)
    stores.events.append([event])
    page = client.get(f"/events/{event.id}").text
    assert "555-0100" not in page
    assert "Reveal, on record" not in page
    form = {"reason": "incident 12"}
    assert client.post(f"/events/{event.id}/reveal", data=form).status_code == 403

    text = make_token(stores, Scope.EVENTS_READ, Scope.PAYLOADS_REVEAL)
    client.post("/sign-in", data={"token": text})
    page = client.get(f"/events/{event.id}").text
    assert "Reveal, on record" in page
    assert "555-0100" not in page
    [key] = re.findall(r'name="form_key" value="([^"]+)"', page)
    form = {"reason": "incident 12", "form_key": key}
    elsewhere = {"sec-fetch-site": "cross-site"}
    path = f"/events/{event.id}/reveal"
    assert client.post(path, data=form, headers=elsewhere).status_code == 403
    assert client.post(path, data=form | {"form_key": "made up"}).status_code == 403
    assert client.post(path, data=form | {"reason": " "}).status_code == 422
    assert stores.custody.page(CustodyFilter(action="reveal"), limit=9)[0] == []
    revealed = client.post(path, data=form)
    assert "555-0100" in revealed.text
    assert revealed.headers["cache-control"] == "no-store"
    (entry,), _ = stores.custody.page(CustodyFilter(action="reveal"), limit=9)
    assert entry.reason == "incident 12"
    assert entry.id in revealed.text
