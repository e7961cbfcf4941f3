"""``kt workflows``."""

from __future__ import annotations

import msgspec

from tests.cli.conftest import ControlPlane, Kt, event

OWNERS = ("--business-owner", "ada", "--technical-owner", "bo")


def test_an_inventory_begins_with_what_runs(control_plane: ControlPlane, kt_online: Kt) -> None:
    seen = msgspec.structs.replace(event(1), workflow="support/refunds", model="gpt-x")
    control_plane.stores.events.append([seen])
    [stranger] = kt_online("workflows", "unregistered", "--json").json
    assert stranger["name"] == "support/refunds"
    made = kt_online(
        *("workflows", "register", "support/refunds", *OWNERS, "--from-traffic"),
        *("--area", "autonomy=low", "--tool", "pay==2", "--escalate-to", "on-call", "--json"),
    )
    workflow = made.json["workflow"]
    assert [one["name"] for one in workflow["models"]] == ["gpt-x"]
    assert workflow["tools"] == [{"name": "pay", "version": "2"}]
    assert kt_online("workflows", "unregistered", "--json").json == []
    edited = kt_online(
        *("workflows", "edit", "support/refunds", "--area", "reversibility=low"),
        *("--tier", "low", "--reason", "a pilot", "--json"),
    ).json
    assert (edited["risk_tier"], edited["workflow"]["version"]) == ("low", 2)
    assert edited["workflow"]["areas"] == {"autonomy": "low", "reversibility": "low"}
    assert edited["workflow"]["models"] == workflow["models"]
    kept = kt_online("workflows", "edit", "support/refunds", "--playbook", "wiki", "--json").json
    assert kept["risk_tier"] == "low"
    back = kt_online("workflows", "edit", "support/refunds", "--computed-tier", "--json").json
    assert back["workflow"]["override"] is None
    versions = kt_online("workflows", "versions", "support/refunds", "--json").json
    assert [one["workflow"]["version"] for one in versions] == [4, 3, 2, 1]
    first = kt_online("workflows", "show", "support/refunds", "--version", "1", "--json").json
    assert first["workflow"] == workflow
    assert len(kt_online("workflows", "areas", "--json").json["areas"]) == 7
    assert kt_online("workflows", "retire", "support/refunds", "--reason", "over").code == 0
    assert kt_online("workflows", "list", "--json").json == []


def test_what_cannot_be_meant_is_refused(kt_online: Kt) -> None:
    for words in (
        ("--area", "autonomy=some"),
        ("--tier", "low"),
        ("--from-traffic",),
    ):
        assert kt_online("workflows", "register", "w", *OWNERS, *words).code == 2
    assert kt_online("workflows", "edit", "w").code == 1
