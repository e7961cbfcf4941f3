"""Containments against the regression cases of closed incidents: what one lets through in its scope
is told when it is asked for, and while it is in force."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, get_args

import msgspec
import pytest
from starlette.testclient import TestClient

from kintsugi.api.loosened import may_loosen
from kintsugi.api.permissions import Scope
from kintsugi.api.relaxed import relaxed_elsewhere
from kintsugi.api.unproven import UNPROVEN, UnprovenWatch
from kintsugi.ledger.leaves import containment_leaf
from kintsugi.model.containment import (
    BrokenCases,
    Bypassed,
    Containment,
    ContainmentScope,
    Lever,
    LeverName,
)
from kintsugi.model.regression_ledger import BoundFilter
from kintsugi.model.stores import Stores
from kintsugi.policy.parse import parse_config
from kintsugi.policy.plan import revision
from kintsugi.replay.prove import Court, Judge
from tests.api.test_api_proofs import (
    NEW,
    OLD,
    add_case,
    config,
    declared,
    do,
    in_review,
    prove,
    publish,
)
from tests.control_plane import NOON, Clock, bearer, make_report, make_token

AT = "/v1/containments"
BYPASS: dict[str, Any] = {"name": "bypass"}
PIN: dict[str, Any] = {"name": "pin-policy", "config_version": "support@1"}


@pytest.fixture
def closed(client: TestClient, stores: Stores) -> str:
    """An incident that the second version mended, closed with a case and a twin that bind."""
    publish(client, OLD)
    key = declared(client)
    add_case(stores, client, key)
    add_case(stores, client, key, "hello", kind="twin", verdict="allow")
    publish(client, NEW)
    prove(client, key)
    in_review(client, key)
    do(client, key, "close")
    return key


def asked(client: TestClient, lever: dict[str, Any], **params: str) -> dict[str, Any]:
    body = {"lever": lever, "scope": {"workflow": "triage"}, "reason": "blocks all"}
    short = f"inc-{int(declared(client).rpartition('-')[2])}"
    made = client.post(AT, json={**body, "incident_id": short}, params=params)
    assert made.status_code in (200, 201), made.text
    found: dict[str, Any] = made.json()["data"]
    return found


def approved(client: TestClient, stores: Stores, lever: dict[str, Any]) -> str:
    made = asked(client, lever)
    assert made["status"] == "waiting"
    name = str(made["containment"]["id"])
    second = bearer(make_token(stores, Scope.CONTAINMENTS_APPROVE, name="eve"))
    assert client.post(f"{AT}/{name}/approve", json={}, headers=second).status_code == 200
    return name


def told(stores: Stores) -> list[str]:
    found, _ = stores.signals.page("unresolved", kind=UNPROVEN, limit=99)
    return sorted(one.summary for one in found)


def coverage(client: TestClient) -> list[str]:
    return [one["state"] for one in client.get("/v1/regressions/coverage").json()["data"]]


@pytest.mark.parametrize("lever", [BYPASS, {**BYPASS, "policies": ["dlp-filter"]}, PIN])
def test_what_a_containment_breaks_is_told_before_and_while_it_is_in_force(
    client: TestClient, stores: Stores, clock: Clock, closed: str, lever: dict[str, Any]
) -> None:
    broken = {"count": 1, "regression_ids": ["REG-000001"]}
    assert asked(client, lever, dry_run="true")["containment"]["breaks"] == broken
    name = approved(client, stores, lever)
    kept = stores.containments.get(name)
    # It is part of the record, and of its leaf in the log.
    assert kept.breaks == BrokenCases(1, ("REG-000001",))
    without = msgspec.structs.replace(kept, breaks=None)
    leaf, other = (containment_leaf(one, now=NOON) for one in (kept, without))
    assert leaf.record_digest != other.record_digest
    [shown] = relaxed_elsewhere(stores, now=NOON)
    assert "1 regression case does not hold there" in shown.meaning

    entries = client.get(f"/v1/incidents/{kept.incident_id}/timeline").json()["data"]
    words = f"containment {lever['name']} applied: workflow triage; 1 regression cases broken"
    assert words in [one["text"] for one in entries]

    watch = UnprovenWatch(stores, clock)
    watch.look_once()
    [summary] = told(stores)
    assert f"{lever['name']} {name} of test" in summary
    assert "keeps 1 of 2 regression cases" in summary
    assert "REG-000001" in summary
    assert client.get("/v1/status").json()["data"]["unproven"] == [summary]
    assert coverage(client) == ["loosened"]
    [view] = client.get("/v1/regressions/coverage").json()["data"]
    assert [one["loosened_by"] for one in view["cases"]] == [[name], []]

    client.post(f"{AT}/{name}/release", json={"reason": "mended"})
    watch.look_once()
    assert (told(stores), coverage(client)) == ([], ["covered"])
    assert closed


def test_a_bypass_of_what_no_case_rests_on_breaks_nothing(
    client: TestClient, stores: Stores, clock: Clock, closed: str
) -> None:
    name = approved(client, stores, {**BYPASS, "policies": ["prompt-injection"]})
    assert stores.containments.get(name).breaks is None
    UnprovenWatch(stores, clock).look_once()
    assert told(stores) == []
    assert closed


def test_a_pin_that_was_as_strict_once_is_told_when_what_is_published_later_asks_for_more(
    client: TestClient, stores: Stores, clock: Clock
) -> None:
    publish(client, OLD)
    key = declared(client)
    add_case(stores, client, key)
    # Nobody has to agree: it decides as what is in force.
    made = asked(client, PIN)
    assert (made["status"], made["containment"].get("breaks")) == ("in_force", None)
    assert relaxed_elsewhere(stores, now=NOON) == []
    publish(client, NEW)
    prove(client, key)
    in_review(client, key)
    do(client, key, "close")
    UnprovenWatch(stores, clock).look_once()
    [summary] = told(stores)
    assert f"pin-policy {made['containment']['id']}" in summary
    assert [one.setting for one in relaxed_elsewhere(stores, now=NOON)] == ["pinned: support@1"]
    assert coverage(client) == ["loosened"]


def test_what_a_gateway_brought_along_is_told_too(
    client: TestClient, stores: Stores, clock: Clock, closed: str
) -> None:
    stores.ledger.put_back(
        [
            msgspec.structs.replace(one, id=f"{one.id[:-1]}f", gateways=("gw-0a1b2c3d",))
            for one in stores.ledger.bound(BoundFilter())
        ],
        now=NOON,
    )
    assert publish(client, config("zebra", "aurora", name="sales"), name="sales").status_code == 200
    report = make_report(now=NOON, config_id="sales")
    stores.gateways.put(msgspec.structs.replace(report, workers=()), now=NOON)
    name = approved(client, stores, BYPASS)
    UnprovenWatch(stores, clock).look_once()
    assert [summary.split(" bind ")[1].split()[0] for summary in told(stores)] == [
        "sales@1",
        "support@2",
    ]
    client.post(f"{AT}/{name}/release", json={"reason": "mended"})
    assert closed


LEVERS: dict[str, Lever] = {
    "disable-tools": Lever("disable-tools", tools=("*",)),
    "only-tools": Lever("only-tools", tools=("none",)),
    "block-sources": Lever("block-sources", sources=("wiki",)),
    "add-filter": Lever("add-filter", terms=("yak",)),
    "rate-limit": Lever("rate-limit", requests=1000),
    "cap-context": Lever("cap-context", max_context_chars=1, max_output_tokens=1),
    "swap-model": Lever("swap-model", model="other"),
    "pin-prompt": Lever("pin-prompt", prompt="greeting", prompt_version="3", content="Be kind."),
}


@pytest.mark.parametrize("name", get_args(LeverName))
def test_every_lever_that_could_let_through_what_must_be_stopped_is_watched(
    client: TestClient, stores: Stores, name: LeverName
) -> None:
    publish(client, OLD)
    one = add_case(stores, client, declared(client))
    lever = LEVERS.get(name, Lever(name, config_version="support@1", content=OLD))
    later = NOON + timedelta(hours=1)
    containment = Containment(
        "c", lever, ContainmentScope(), "", "", "", NOON, later, approved_at=NOON,
        bypassed=Bypassed(0, {}, {}),
    )  # fmt: skip
    run = Court(Judge("support", "support@2", NEW), [containment]).try_one(one)
    assert run.met is not None
    assert run.met or may_loosen(containment)


def test_a_persons_word_does_not_hide_what_does_not_hold(
    client: TestClient, stores: Stores, clock: Clock, closed: str
) -> None:
    name = approved(client, stores, BYPASS)
    watch = UnprovenWatch(stores, clock)
    for _ in range(3):
        watch.look_once()
        [signal] = stores.signals.page("unresolved", kind=UNPROVEN, limit=9)[0]
        stores.signals.resolve(signal.id, by="eve", resolution="all is well", now=clock())
    watch.look_once()
    watch.look_once()
    assert len(told(stores)) == 1
    client.post(f"{AT}/{name}/release", json={"reason": "mended"})
    watch.look_once()
    assert told(stores) == []
    assert closed


def reports(stores: Stores, name: str, ran: str, *, contained: tuple[str, ...] = ()) -> None:
    report = make_report(now=NOON, config_id="support")
    worker = msgspec.structs.replace(
        report.workers[0], config_version=name, revision=ran, contained=contained
    )
    stores.gateways.put(msgspec.structs.replace(report, workers=(worker,)), now=NOON)


def test_a_containment_that_only_a_gateway_knows_is_told(
    client: TestClient, stores: Stores, clock: Clock, closed: str
) -> None:
    """Somebody wrote it into the gateway's own file."""
    ran = revision(parse_config(NEW))
    reports(stores, "support@2", ran, contained=("019db9a0-0000-7000-8000-000000000001",))
    watch = UnprovenWatch(stores, clock)
    watch.look_once()
    [summary] = told(stores)
    assert "containment 019db9a0-0000-7000-8000-000000000001, which is not kept here" in summary
    known = approved(client, stores, {**BYPASS, "policies": ["prompt-injection"]})
    reports(stores, "support@2", ran, contained=(known,))
    watch.look_once()
    assert told(stores) == []
    assert closed


def test_what_was_published_under_another_release_is_known_by_its_text(
    client: TestClient, stores: Stores, clock: Clock, closed: str
) -> None:
    """A detector of the new release makes another revision of the same text."""
    stores.configurations.put(
        config_id="support", content=NEW + "# again\n", revision="sha256:of-another-release",
        author="ana", note="", pack_version="1", now=NOON,
    )  # fmt: skip
    reports(stores, "support@3", revision(parse_config(NEW)))
    UnprovenWatch(stores, clock).look_once()
    assert told(stores) == []
    reports(stores, "support@3", revision(parse_config(config("yak"))))
    UnprovenWatch(stores, clock).look_once()
    assert ["nobody knows" in one for one in told(stores)] == [True]
    assert closed
