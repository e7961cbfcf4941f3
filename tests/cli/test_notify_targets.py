"""``kt webhooks`` and ``kt channels``: who is told, from being added to being removed."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Kt

ADDRESSES = {"webhooks": "https://example.com/hook", "channels": "mailto://u:p@example.com"}


@pytest.mark.parametrize("group", ADDRESSES)
def test_a_target_is_added_shown_edited_and_removed(kt_online: Kt, group: str) -> None:
    added = kt_online(group, "add", "ops", ADDRESSES[group], "--type", "incident.*")
    assert added.code == 0, added.err
    assert ("Keep the secret now" in added.err) == (group == "webhooks")
    assert [one["name"] for one in kt_online(group, "list").json] == ["ops"]

    edited = kt_online(group, "edit", "ops", "--new-name", "night", "--severity-min", "high")
    assert edited.json["routes"] == [{"types": ["incident.*"], "severity_min": "high"}]
    assert kt_online(group, "show", "night").json == edited.json
    disabled = kt_online(group, "edit", "night", "--disabled").json
    assert disabled["routes"] == edited.json["routes"]

    assert kt_online(group, "deliveries", "night", "--outcome", "failed").json == []
    assert kt_online(group, "redeliver", "night", "--since", "24h").json["deliveries"] == 0

    assert kt_online(group, "remove", "night").json["name"] == "night"
    assert kt_online(group, "list").json == []


@pytest.mark.parametrize("group", ADDRESSES)
def test_a_test_notice_that_does_not_arrive_ends_with_exit_code_3(
    kt_online: Kt, group: str
) -> None:
    address = {"webhooks": "http://127.0.0.1:9/", "channels": "json://127.0.0.1:9/"}[group]
    added = kt_online(group, "add", "ops", address, "--allow-private-network")
    assert added.code == 0, added.err
    tried = kt_online(group, "test", "ops")
    assert tried.code == 3
    assert tried.json["arrived"] is False
    assert tried.json["error"]
