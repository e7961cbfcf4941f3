"""An audit finds what was changed behind the store's back, and says which row it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from starlette.testclient import TestClient

from kintsugi.model.stores import Stores
from tests.contract.conftest import Maker
from tests.control_plane import Clock, bearer, control_plane, make_token
from tests.store.made import event


def filled(stores: Stores) -> None:
    """Eleven leaves: ten batches of three events, and a configuration."""
    for start in range(0, 30, 3):
        stores.events.append([event(number) for number in range(start, start + 3)])
    stores.configurations.put(
        config_id="support",
        content="a: 1",
        revision="sha256:r",
        author="ana",
        note="",
        pack_version="1.0.0",
        now=Clock().now,
    )


def audited(stores: Stores, folder: Path, *, leaves: int = 4) -> list[dict[str, Any]]:
    """Findings of a whole audit, stretch by stretch."""
    findings: list[dict[str, Any]] = []
    with TestClient(control_plane(stores, folder, Clock())) as client:
        client.headers.update(bearer(make_token(stores)))
        asked: dict[str, Any] = {"first": 0, "edge": "", "leaves": leaves}
        while True:
            answer = client.get("/v1/log/audit", params=asked)
            assert answer.status_code == 200, answer.text
            data = answer.json()["data"]
            findings += data["findings"]
            if data["next"] >= data["size"]:
                return findings
            asked = {"first": data["next"], "edge": data["edge"], "leaves": leaves}


def test_a_log_that_nobody_touched_is_whole(stores: Stores, tmp_path: Path) -> None:
    filled(stores)
    for leaves in (1, 3, 100):
        assert audited(stores, tmp_path, leaves=leaves) == []


@pytest.mark.parametrize(
    ("statement", "where", "what"),
    [
        (
            (
                "UPDATE kintsugi.event_records SET record = replace(record, 'ANSWERED', 'x')"
                " WHERE id = %(id)s"
            ),
            "event {id}",
            "record was changed",
        ),
        ("DELETE FROM kintsugi.event_records WHERE id = %(id)s", "event {id}", "was removed"),
        ("DELETE FROM kintsugi.events WHERE id = %(id)s", "event at position 15", "was removed"),
        (
            (
                "UPDATE kintsugi.log_leaves SET data = replace(data, 'events', 'evants')"
                " WHERE position = 4"
            ),
            "leaf 4",
            "text or its hash",
        ),
        (
            (
                "UPDATE kintsugi.log_nodes SET hash = set_byte(hash, 7, get_byte(hash, 7) # 1)"
                " WHERE level = 2 AND position = 1"
            ),
            "node 2/1",
            "is not the hash",
        ),
        (
            (
                "UPDATE kintsugi.log_nodes SET hash = set_byte(hash, 0, get_byte(hash, 0) # 128)"
                " WHERE level = 0 AND position = 9"
            ),
            "leaf 9",
            "text or its hash",
        ),
        (
            "UPDATE kintsugi.log_edge SET hashes[1] = set_byte(hashes[1], 3, 0)",
            "edge",
            "not that of the leaves",
        ),
        (
            "UPDATE kintsugi.configuration_versions SET content = 'a: 2'",
            "configuration support@1",
            "text was changed",
        ),
    ],
)
def test_what_was_changed_in_the_database_is_named(
    maker: Maker, tmp_path: Path, statement: str, where: str, what: str
) -> None:
    stores = maker.empty()
    filled(stores)
    if not maker.conninfo:
        return  # in memory there is no other way in
    identifier = event(14).id
    statement = statement.replace("ANSWERED", "answered")
    with psycopg.connect(maker.conninfo) as connection:
        changed = connection.execute(statement.encode(), {"id": identifier})
        assert changed.rowcount == 1
    found = audited(stores, tmp_path)
    assert where.format(id=identifier) in [one["where"] for one in found], found
    assert any(what in one["what"] for one in found)
    assert len(found) <= 6, "the place, and at most what stands above it"


def test_a_stretch_alone_leads_to_the_root(stores: Stores, tmp_path: Path) -> None:
    filled(stores)
    with TestClient(control_plane(stores, tmp_path, Clock())) as client:
        client.headers.update(bearer(make_token(stores)))
        for first in range(12):
            answer = client.get("/v1/log/audit", params={"first": first, "leaves": 2})
            assert answer.json()["data"]["findings"] == []
        assert client.get("/v1/log/audit", params={"first": 12}).status_code == 422
        wrong = client.get("/v1/log/audit", params={"first": 3, "edge": "00" * 32})
        assert wrong.status_code == 422
