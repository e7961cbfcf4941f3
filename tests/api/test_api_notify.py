"""``/v1/webhooks``, ``/v1/channels``, ``/v1/notices``: secrets shown once, everything else as often
as asked."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from kintsugi.api.permissions import Scope
from kintsugi.model.stores import Stores
from kintsugi.notify import apprise
from kintsugi.notify.apprise_child import Outcome
from tests.control_plane import NOON, bearer, make_token
from tests.notify.made import receiving, told

HOOK = {"name": "siem", "url": "https://example.com/hook"}
SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"


def add(client: TestClient, **more: object) -> dict[str, object]:
    answer = client.post("/v1/webhooks", json={**HOOK, **more})
    assert answer.status_code == 201, answer.text
    found: dict[str, object] = answer.json()["data"]
    return found


def test_the_secret_is_shown_once_and_to_nobody_who_repeats_the_request(client: TestClient) -> None:
    key = {"Idempotency-Key": "add-1"}
    first = client.post("/v1/webhooks", json=HOOK, headers=key)
    again = client.post("/v1/webhooks", json=HOOK, headers=key)
    secret = first.json()["data"]["secret"]
    assert secret.startswith("whsec_")
    assert again.json()["data"]["secret"] is None
    for path in ("/v1/webhooks", "/v1/webhooks/siem", "/v1/webhooks/siem/deliveries"):
        assert secret not in client.get(path).text


def test_a_rotated_secret_signs_beside_the_old_one(client: TestClient, stores: Stores) -> None:
    made = add(client)
    rotated = client.post("/v1/webhooks/siem/rotate-secret").json()["data"]
    held = stores.notify.secrets(str(made["id"]))
    assert held.signing(NOON) == (rotated["secret"], made["secret"])
    assert rotated["previous_secret_until"] == "2026-04-24T12:00:00Z"


def test_an_edit_changes_what_it_names_and_needs_the_newest_version(client: TestClient) -> None:
    add(client)
    tag = client.get("/v1/webhooks/siem").headers["etag"]
    wanted = {"url": "https://example.org/", "routes": [{"types": ["signal.*"]}]}
    edited = client.post("/v1/webhooks/siem/edit", json=wanted, headers={"If-Match": tag})
    assert edited.json()["data"]["url"] == "https://example.org/"
    assert edited.json()["data"]["name"] == "siem"
    stale = client.post("/v1/webhooks/siem/edit", json=wanted, headers={"If-Match": tag})
    assert stale.status_code == 412


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"url": "ftp://example.com"}, "https://"),
        ({"url": "https://a:b@example.com"}, "name and password"),
        ({"secret": "whsec_short"}, "24 to 64"),
        ({"routes": [{"types": ["incidents.*"]}]}, "kt notices types"),
        ({"routes": []}, "routes"),
        ({"name": "a b"}, "name"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    client: TestClient, body: dict[str, object], said: str
) -> None:
    refused = client.post("/v1/webhooks", json={**HOOK, **body})
    assert refused.status_code == 422
    assert said in refused.text
    assert "whsec_short" not in refused.text


def test_a_test_says_how_it_went(client: TestClient) -> None:
    with receiving() as receiver:
        add(client, url=receiver.url)
        refused = client.post("/v1/webhooks/siem/test").json()["data"]
        client.post("/v1/webhooks/siem/edit", json={"allow_private_network": True})
        arrived = client.post("/v1/webhooks/siem/test").json()["data"]
    assert "private" in refused["error"]
    assert (arrived.get("error", ""), arrived["status"]) == ("", 200)
    assert b'"notify.test"' in receiver.came[0].body


def test_notices_are_delivered_and_listed_and_sent_again(
    client: TestClient, stores: Stores
) -> None:
    with receiving() as receiver:
        stores.notices.add([told(1)])
        add(client, url=receiver.url, allow_private_network=True)
        stores.notices.add([told(2)])
        receiver.wait(1)
        again = client.post("/v1/webhooks/siem/redeliver", json={"since": "2h"})
        receiver.wait(2)
    assert again.json()["data"]["deliveries"] in (1, 2)
    listed = client.get("/v1/webhooks/siem/deliveries?state=delivered").json()["data"]
    assert listed[0]["type"] == "incident.declared"
    neither = client.post("/v1/webhooks/siem/redeliver", json={})
    assert neither.status_code == 422


def test_a_channels_url_is_never_shown(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, stores: Stores
) -> None:
    monkeypatch.setattr(apprise, "look", lambda _: Outcome("", "Slack", "slack://T...2/****"))
    quiet = [{"start": "22:00", "end": "07:00", "zone": "Europe/Berlin"}]
    body = {"name": "room", "url": SLACK, "quiet_hours": quiet}
    made = client.post("/v1/channels", json=body)
    assert made.status_code == 201
    assert made.json()["data"]["service"] == "Slack"
    shown = made.text + client.get("/v1/channels").text + client.get("/v1/channels/room").text
    assert "TIiajk" not in shown
    assert stores.notify.secrets("room").current == SLACK
    wrong = client.post("/v1/channels", json={**body, "quiet_hours": [{**quiet[0], "zone": "x"}]})
    assert "body.quiet_hours.0.zone" in wrong.text
    assert client.get("/v1/webhooks/room").status_code == 404
    assert client.post("/v1/channels/room/remove").status_code == 200
    assert client.get("/v1/channels/room").status_code == 404


def test_who_may_only_read_changes_nothing(anonymous: TestClient, stores: Stores) -> None:
    anonymous.headers.update(bearer(make_token(stores, Scope.WEBHOOKS_READ)))
    assert anonymous.get("/v1/webhooks").status_code == 200
    assert anonymous.post("/v1/webhooks", json=HOOK).status_code == 403


def test_notices_and_their_types_are_listed(client: TestClient, stores: Stores) -> None:
    stores.notices.add([told(1), told(2, "obligation.overdue")])
    found = client.get("/v1/notices?type=obligation.overdue").json()
    assert [one["subject"] for one in found["data"]] == ["incident:INC-000002"]
    types = client.get("/v1/notice-types").json()["data"]
    assert "incident.declared" in {one["type"] for one in types}
