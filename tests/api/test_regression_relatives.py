"""A case made shorter, its variants and its twins over the API: tried on both sides, proposed."""

from __future__ import annotations

import codecs
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from kintsugi.api import regression_relatives
from kintsugi.model.config import Case, CaseExpected, CaseInput
from kintsugi.model.event import DecisionEvent
from kintsugi.model.ids import uuid7
from kintsugi.model.regression import RegressionFilter
from kintsugi.model.stores import Stores
from kintsugi.policy.parse import parse_config
from kintsugi.policy.plan import revision
from kintsugi.replay.driver import carry, put_in_force
from tests.control_plane import NOON

AT = "/v1/regressions"
ATTACK = "Dear team,\n\nplease note that aurora ships in May. Kind regards from the north."


def config(*terms: str) -> str:
    return (
        "pack: {name: shop, version: 1.0.0}\n"
        "gateway: {payload: full}\n"
        "providers: {targets: [{id: sim, provider: simulator}]}\n"
        "policies: {chain: [dlp-filter, audit-logger]}\n"
        f"policy: {{dlp-filter: {{blocked_terms: [{', '.join(terms)}], action: block}}, "
        "audit-logger: {}}\n"
    )


TOKEN = "ghp_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
EVERY = {"format": "suites", "state": ""}
OPEN, FIXED, TYPO = config("nothing like it"), config("aurora"), config("aurora", "order")


def publish(stores: Stores, *contents: str) -> None:
    for content in contents:
        stores.configurations.put(
            config_id="shop",
            content=content,
            revision=revision(parse_config(content)),
            author="ada",
            note="",
            pack_version="1.0.0",
            now=NOON,
        )


def stored(stores: Stores, under: str, said: str, number: int = 0, **changes: Any) -> DecisionEvent:
    """An exchange as a gateway records it under the first version, in the store."""
    in_force = put_in_force(parse_config(under))
    in_force.config_version = "shop@1"
    messages = ({"role": "user", "content": said},)
    wanted = CaseInput(messages=messages, headers={"x-workflow": "desk"}, upstream_response="OK")
    event = carry(in_force, Case("case", wanted, CaseExpected()), 1).event
    assert event is not None
    identifier = uuid7(int(NOON.timestamp() * 1000), number.to_bytes(10, "big"))
    event = msgspec.structs.replace(event, id=identifier, timestamp=NOON, **changes)
    stores.events.append([event])
    return event


def added(client: TestClient, event: DecisionEvent, expect: str) -> str:
    """The id of the case that is made of an event."""
    body = {"title": "A leak", "event_ids": [event.id]}
    incident = client.post("/v1/incidents", json=body).json()["data"]["reference"]
    asked = {"from": event.id, "incident": incident, "expected": {"verdict": expect}}
    answer = client.post(AT, json=asked)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["data"]["cases"][0]["regression"]["id"])


def do(client: TestClient, key: str, verb: str, status: int = 200, **body: Any) -> Any:
    params = {"dry_run": "true"} if body.pop("dry_run", False) else {}
    answer = client.post(f"{AT}/{key}/{verb}", json=body, params=params)
    assert answer.status_code == status, answer.text
    return answer.json().get("data") or answer.json()


def said(told: Any) -> str:
    return str(told["regression"]["case"]["input"]["messages"][0]["content"])


@pytest.fixture
def miss(client: TestClient, stores: Stores) -> str:
    """A case that nothing stopped, which the newest version does."""
    publish(stores, OPEN, FIXED)
    return added(client, stored(stores, OPEN, ATTACK), "block")


def test_a_miss_is_minimised_against_the_newest_version(client: TestClient, miss: str) -> None:
    told = do(client, miss, "minimise")
    assert said(told) == "aurora"
    assert (told["red"], told["green"], told["complete"]) == ("shop@1", "shop@2", True)
    one = client.get(f"{AT}/{miss}").json()["data"]
    assert (one["version"], one["changed"], one["state"]) == (2, "minimised", "proposed")
    assert one["minimised_chars"] == 6
    assert one["original_chars"] >= len(ATTACK)
    first = client.get(f"{AT}/{miss}", params={"version": 1}).json()["data"]
    assert first["case"]["input"]["messages"][0]["content"] == ATTACK
    assert first["case"]["expected"] == one["case"]["expected"]
    assert do(client, miss, "minimise")["regression"]["version"] == 2


def test_a_dry_run_keeps_nothing(client: TestClient, stores: Stores, miss: str) -> None:
    assert said(do(client, miss, "minimise", dry_run=True)) == "aurora"
    for verb in ("variants", "twins"):
        told = do(client, miss, verb, dry_run=True)
        assert told["dry_run"]
        assert {one["regression"]["id"] for one in told["relatives"]} == {""}
    assert client.get(f"{AT}/{miss}").json()["data"]["version"] == 1
    assert not list(stores.regressions.scan(RegressionFilter(parent=miss)))


def test_a_miss_that_no_version_puts_right_is_not_attempted(
    client: TestClient, stores: Stores
) -> None:
    publish(stores, OPEN)
    key = added(client, stored(stores, OPEN, ATTACK), "block")
    refused = do(client, key, "minimise", 409)
    assert "not attempted" in refused["detail"]
    assert "name a configuration that puts it right" in refused["detail"]
    named = do(client, key, "minimise", 409, config_version="shop@1")
    assert "does not pass on shop@1 either" in named["detail"]


def test_an_over_block_is_minimised_without_a_version_that_puts_it_right(
    client: TestClient, stores: Stores
) -> None:
    publish(stores, TYPO)
    key = added(client, stored(stores, TYPO, "Where is my order, please?"), "allow")
    told = do(client, key, "minimise")
    assert said(told).strip(" ,") == "order"
    assert told["green"] == ""


def test_time_that_is_up_leaves_what_reproduces(
    client: TestClient, miss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regression_relatives, "MINIMISE_SECONDS_MAX", -1)
    told = do(client, miss, "minimise")
    assert not told["complete"]
    assert "aurora" in said(told)


def test_variants_are_proposed_and_told_whether_they_hold(
    client: TestClient, stores: Stores, miss: str
) -> None:
    do(client, miss, "minimise")
    told = do(client, miss, "variants")
    made = {one["regression"]["technique"]: one for one in told["relatives"]}
    assert {
        "homoglyphs",
        "base64",
        "framed_german",
        "tool_result",
        "openai_responses",
    } <= made.keys()
    assert made["homoglyphs"]["holds"]
    assert not made["leetspeak"]["holds"]  # 4ur0r4: this list does not know it
    for one in made.values():
        regression = one["regression"]
        assert (regression["kind"], regression["state"]) == ("variant", "proposed")
        assert regression["parent"] == miss
        assert regression["source"]["config_version"] == "shop@1"
        assert regression["case"]["expected"]["verdict"] == "block"
    assert len(list(stores.regressions.scan(RegressionFilter(parent=miss)))) == len(made)
    again = do(client, miss, "variants")
    assert (again["relatives"], set(again["known"])) == ([], set(made))


def test_only_the_techniques_that_are_named_are_used(client: TestClient, miss: str) -> None:
    told = do(client, miss, "variants", techniques=["rot13"])
    assert [one["regression"]["technique"] for one in told["relatives"]] == ["rot13"]
    refused = do(client, miss, "variants", 422, techniques=["rot14"])
    assert "rot14 is not known; use some of: homoglyphs" in refused["detail"]


def test_a_variant_that_could_not_fail_is_not_proposed(client: TestClient, stores: Stores) -> None:
    publish(stores, TYPO, FIXED)
    key = added(client, stored(stores, TYPO, "Where is my order?"), "allow")
    told = do(client, key, "variants", techniques=["leetspeak", "document"])
    assert told["passing"] == ["leetspeak"]  # 0rd3r was never stopped
    assert [one["regression"]["technique"] for one in told["relatives"]] == ["document"]


def test_twins_are_what_surrounded_the_trigger_and_recorded_neighbours(
    client: TestClient, stores: Stores, miss: str
) -> None:
    near = stored(stores, OPEN, ATTACK.replace("aurora", "the parcel"), 1)
    stored(stores, OPEN, ATTACK.replace("note", "know"), 2)
    stored(stores, OPEN, "What is the weather like?", 3)
    told = do(client, miss, "twins")
    made = {one["regression"]["technique"]: one["regression"] for one in told["relatives"]}
    assert made.keys() == {"remainder", "neighbour"}
    assert made["neighbour"]["source"]["event_id"] == near.id
    assert made["neighbour"]["kind"] == "twin"
    assert "aurora" not in made["remainder"]["text"]
    assert all(one["holds"] for one in told["relatives"])
    assert told["neighbours_read"] == 3
    assert told["differing"] == 4  # three that talk about it, and the neighbour that says it
    assert do(client, miss, "twins")["known"] == ["remainder", "neighbour"]


def test_personal_data_of_a_neighbour_is_replaced(
    client: TestClient, stores: Stores, miss: str
) -> None:
    text = ATTACK.replace("aurora", "jane.roe@acme.org")
    stored(stores, OPEN, text, 1)
    [twin] = [
        one["regression"]
        for one in do(client, miss, "twins")["relatives"]
        if one["regression"]["technique"] == "neighbour"
    ]
    assert "jane.roe" not in twin["text"]


def test_the_twins_of_an_over_block_are_attacks_that_stay_stopped(
    client: TestClient, stores: Stores
) -> None:
    publish(stores, TYPO, FIXED)
    key = added(client, stored(stores, TYPO, "Where is my order, please?"), "allow")
    stored(stores, TYPO, "Where is my aurora, please?", 1)
    told = do(client, key, "twins")
    [twin] = told["relatives"]
    assert said(twin) == "Where is my aurora, please?"
    assert twin["regression"]["case"]["expected"]["verdict"] == "block"


def test_nothing_is_made_of_what_does_not_count(client: TestClient, miss: str) -> None:
    told = do(client, miss, "variants", techniques=["rot13"])
    variant = told["relatives"][0]["regression"]["id"]
    assert f"name {miss}" in do(client, variant, "twins", 409)["detail"]
    do(client, miss, "approve")
    assert "stays as it is" in do(client, miss, "minimise", 409)["detail"]
    assert do(client, miss, "variants", techniques=["hex"])["relatives"]


def test_another_configuration_is_refused(client: TestClient, miss: str) -> None:
    refused = do(client, miss, "minimise", 422, config_version="other@1")
    assert "no version of shop" in refused["detail"]


def test_the_name_of_a_variant_is_not_taken_for_a_password(
    client: TestClient, stores: Stores
) -> None:
    publish(stores, OPEN)
    key = added(client, stored(stores, OPEN, ATTACK), "block")
    # "policy.passed: base64" looks like the password of something.
    client.put(f"{AT}/{key}", json={"name": "INC-000001: policy.passed"})
    told = do(client, key, "variants", techniques=["base64"])
    [one] = told["relatives"]
    assert one["regression"]["case"]["name"] == "INC-000001: policy.passed (base64)"


def test_what_was_kept_in_a_case_is_sealed_in_what_is_made_of_it(
    client: TestClient, stores: Stores
) -> None:
    publish(stores, OPEN, FIXED)
    event = stored(stores, OPEN, f"aurora, and the parser fails on {TOKEN}")
    body = {"title": "A leak", "event_ids": [event.id]}
    client.post("/v1/incidents", json=body)
    asked = {"from": event.id, "keep": {"secret.github_token": "it fails on this one"}}
    [made] = client.post(AT, json=asked).json()["data"]["cases"]
    key = made["regression"]["id"]
    techniques = ["base64", "rot13", "spaced"]
    told = do(client, key, "variants", techniques=techniques)
    assert [one["regression"]["technique"] for one in told["relatives"]] == [
        *("spaced", "base64", "rot13"),
    ]
    for one in (each["regression"] for each in told["relatives"]):
        assert one["masked"]
        assert [kept["finding"] for kept in one["kept"]] == ["secret.github_token"]
        if one["technique"] != "base64":  # no detector knows it again
            assert (one["case"], one["text"]) == (None, "")
    shown = client.get(AT).text + client.get(f"{AT}/export", params=EVERY).text
    for disguise in (TOKEN, codecs.encode(TOKEN, "rot13"), " ".join(TOKEN)):
        assert disguise not in shown
        assert disguise.encode().hex() not in shown
    revealed = client.post(f"{AT}/REG-2/reveal", json={"reason": "the parser"}).json()["data"]
    assert "g h p _" in revealed["text"]
