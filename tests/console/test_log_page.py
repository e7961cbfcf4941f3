"""The log in plain words, and what is relaxed."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from hashlib import sha256

import msgspec
import pytest
from starlette.testclient import TestClient

from kintsugi.api.credentials import secret_sha256
from kintsugi.console.sessions import COOKIE
from kintsugi.model.incident import new_id
from kintsugi.model.log import Cosigned, Witnessed
from kintsugi.model.stores import Stores
from kintsugi.model.user import Session
from tests.control_plane import CONFIGURATION, NOON, Clock, make_event, make_report, make_token

RELAXED = CONFIGURATION.replace(
    "prompt-injection: {}",
    "prompt-injection: {mode: monitor, relaxed: "
    "{owner: '<b>grace', reason: measuring, expires: 2026-04-22}}",
)


@pytest.fixture
def admin(anonymous: TestClient, stores: Stores) -> TestClient:
    anonymous.headers["accept"] = "text/html"
    # Not by signing in, which is a leaf of the log itself.
    token, secret = secret_sha256(make_token(stores)) or "", "5e" * 32
    session = Session(new_id(NOON), NOON, NOON, NOON + timedelta(hours=1), token_sha256=token)
    stores.sessions.begin(session, secret_sha256=sha256(secret.encode()).hexdigest())
    anonymous.cookies.set(COOKIE, secret)
    return anonymous


def publish(stores: Stores, content: str) -> None:
    stores.configurations.put(
        config_id="support-prod",
        content=content,
        revision="sha256:" + "3f" * 32,
        author="ana",
        note="as agreed",
        pack_version="1.4.0",
        now=NOON,
    )


def test_an_empty_log_says_so(admin: TestClient) -> None:
    text = admin.get("/log").text
    assert "The log is empty." in text
    assert "No witness has cosigned this log." in text


def test_the_log_shows_its_checkpoint_leaves_and_witnesses(
    admin: TestClient, stores: Stores
) -> None:
    stores.events.append([make_event(1), make_event(2)])
    publish(stores, CONFIGURATION)
    stores.log.keep_cosigned(Cosigned("elsewhere", "elsewhere+1+k", 1, bytes(32), NOON))
    stores.log.witness(Witnessed("other/log", 7, bytes(32), ("k",), NOON), after=None)
    text = admin.get("/log").text
    for words in (
        "2 decisions, positions 1 to 2",
        "support-prod version 1 by ana",
        "elsewhere",
        "other/log",
        "just now",
        "<dt>Leaves</dt><dd>2</dd>",
    ):
        assert words in text, words


def test_older_leaves_are_a_link_away(admin: TestClient, stores: Stores) -> None:
    for number in range(35):
        stores.events.append([make_event(number)])
    (older,) = re.findall(r'href="(/log\?before=\d+)#leaves"', admin.get("/log").text)
    assert older == "/log?before=5"
    assert "Older leaves" not in admin.get(older).text


def test_a_decision_is_proven_in_words_and_hash_by_hash(admin: TestClient, stores: Stores) -> None:
    for batch in range(5):
        stores.events.append([make_event(batch * 10 + number) for number in range(4)])
    text = admin.get(f"/log?event={make_event(22).id}").text
    assert "It holds." in text
    assert "leaf 2 holds it, as number 3 of 4 decisions" in text
    root = re.search(r"<dt>Root</dt><dd[^>]*>([0-9a-f]{64})<", text)
    assert root is not None
    assert text.count(root[1]) == 3  # the last step, what the checkpoint signs, and the checkpoint


def test_the_page_of_a_decision_leads_to_its_proof(admin: TestClient, stores: Stores) -> None:
    stores.events.append([event := make_event(1)])
    text = admin.get(f"/events/{event.id}").text
    assert f'href="/log?event={event.id}"' in text
    assert "leaf 0" in text


def test_a_record_that_was_changed_is_not_proven(admin: TestClient, stores: Stores) -> None:
    stores.events.append([event := make_event(1)])
    batches = stores.log._batches  # type: ignore[attr-defined]
    found = batches[event.id]
    batches[event.id] = msgspec.structs.replace(found, records=('{"id":"other"}',))
    answer = admin.get(f"/log?event={event.id}")
    assert answer.status_code == 422
    assert "This is not what was recorded." in answer.text


@pytest.mark.parametrize("asked", ["nope", "<script>", "019aa5e0-0000-7000-8000-000000000001"])
def test_what_is_not_in_the_log_has_no_proof(admin: TestClient, asked: str) -> None:
    answer = admin.get("/log", params={"event": asked})
    assert answer.status_code == 404
    assert "There is no proof." in answer.text
    assert "<script>" not in answer.text


def test_what_is_relaxed_is_on_the_first_page_and_on_its_configuration(
    admin: TestClient, stores: Stores, clock: Clock
) -> None:
    publish(stores, RELAXED)
    pages = ("/configurations", "/configurations/support-prod")
    assert "Relaxed <small>" not in admin.get("/").text
    for page in pages:
        text = admin.get(page).text
        assert "mode: monitor" in text
        assert "overdue by 1 day<" in text
        assert "&lt;b&gt;grace" in text
    stores.gateways.put(make_report(now=clock.now, version=1), now=clock.now)
    first = admin.get("/").text
    assert "Relaxed <small>" in first
    assert "overdue by 1 day<" in first
    assert "gw-0a1b2c3d" in admin.get("/configurations").text


def test_the_status_tells_what_is_relaxed(
    anonymous: TestClient, stores: Stores, clock: Clock
) -> None:
    publish(stores, RELAXED)
    stores.gateways.put(make_report(now=clock.now, version=1), now=clock.now)
    headers = {"authorization": f"Bearer {make_token(stores)}"}
    (one,) = anonymous.get("/v1/status", headers=headers).json()["data"]["relaxed"]
    assert one == {
        "source": "support-prod@1",
        "address": "/configurations/support-prod/versions/1",
        "path": "policy.prompt-injection.mode",
        "setting": "mode: monitor",
        "meaning": "what it finds is recorded and never stopped",
        "state": "overdue",
        "owner": "<b>grace",
        "reason": "measuring",
        "expires": "2026-04-22",
        "days_left": -1,
        "gateways": ["gw-0a1b2c3d"],
    }


def test_a_strict_configuration_says_that_nothing_is_relaxed(
    admin: TestClient, stores: Stores
) -> None:
    publish(stores, CONFIGURATION)
    publish(stores, CONFIGURATION + "# again\n")
    text = admin.get("/configurations/support-prod/versions/1").text
    assert "Nothing is relaxed" in text
    assert "version 2 is newer" in text
    assert "as agreed" in text
    assert html.escape(CONFIGURATION.splitlines()[0]) in text
    assert admin.get("/configurations/support-prod/versions/9").status_code == 404
    assert "There is none yet." not in admin.get("/configurations").text
