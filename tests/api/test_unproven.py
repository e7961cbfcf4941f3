"""What gets around the check of a publish shows: files of gateways, changes of the database, and
backups that are older than what binds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from kintsugi.api.unproven import UNPROVEN, UnprovenWatch
from kintsugi.errors import EvidenceUnavailable
from kintsugi.ledger.regression_copy import LedgerCopy, bind_again, read_copy
from kintsugi.model.regression_ledger import Binding, BoundFilter, ledger_record
from kintsugi.model.stores import Stores
from kintsugi.policy.parse import parse_config
from kintsugi.policy.plan import revision
from kintsugi.store.memory import memory_stores
from kintsugi.store.memory_configurations import MemoryConfigurations
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
from tests.contract.test_proof_store import case, edited, entry
from tests.control_plane import NOON, Clock, make_report


@pytest.fixture
def closed(client: TestClient, stores: Stores) -> str:
    publish(client, OLD)
    key = declared(client)
    add_case(stores, client, key)
    publish(client, NEW)
    prove(client, key)
    in_review(client, key)
    do(client, key, "close")
    return key


def runs(stores: Stores, content: str, name: str) -> None:
    report = make_report(now=NOON, config_id="support")
    worker = msgspec.structs.replace(
        report.workers[0], config_version=name, revision=revision(parse_config(content))
    )
    stores.gateways.put(msgspec.structs.replace(report, workers=(worker,)), now=NOON)


def told(stores: Stores) -> list[str]:
    found, _ = stores.signals.page("unresolved", kind=UNPROVEN, limit=99)
    return sorted(one.summary for one in found)


def test_a_gateway_that_runs_what_breaks_a_case_is_told_until_it_does_not(
    client: TestClient, stores: Stores, clock: Clock, closed: str
) -> None:
    watch = UnprovenWatch(stores, clock)
    watch.look_once()
    assert told(stores) == []
    runs(stores, OLD, "support@1")
    watch.look_once()
    [summary] = told(stores)
    assert "runs support@1" in summary
    assert "1 of them do not hold: REG-000001" in summary
    assert client.get("/v1/status").json()["data"]["unproven"] == [summary]
    runs(stores, config("yak"), "support@1.0.0")
    watch.look_once()
    [summary] = told(stores)
    assert "no version that is kept here means the same" in summary
    runs(stores, NEW, "support@2")
    watch.look_once()
    assert told(stores) == []
    assert closed


def test_a_newest_version_that_somebody_put_into_the_database_is_told(
    stores: Stores, clock: Clock, closed: str
) -> None:
    stores.configurations.put(
        config_id="support", content=OLD, revision="sha256:x", author="eve", note="",
        pack_version="1", now=NOON,
    )  # fmt: skip
    watch = UnprovenWatch(stores, clock)
    watch.look_once()
    watch.look_once()
    assert ["configuration support runs support@3" in one for one in told(stores)] == [True]
    assert closed


def test_a_text_that_somebody_changed_in_the_database_is_told(
    stores: Stores, clock: Clock, closed: str
) -> None:
    watch = UnprovenWatch(stores, clock)
    watch.look_once()
    assert told(stores) == []
    configurations = stores.configurations
    assert isinstance(configurations, MemoryConfigurations)
    *earlier, newest = configurations._versions["support"]
    changed = msgspec.structs.replace(newest, content=OLD)
    configurations._versions["support"] = (*earlier, changed)
    watch.look_once()
    assert ["1 of them do not hold: REG-000001" in one for one in told(stores)] == [True]
    assert closed


def test_the_ledger_is_remembered_beside_the_database_and_put_back(tmp_path: Path) -> None:
    stores = memory_stores(now=lambda: NOON)
    path = tmp_path / "regression-ledger.jsonl"
    one, two = case(stores), case(stores, number=2)
    copy = LedgerCopy(stores.ledger, path)
    stores.ledger.add(Binding((entry(one, 1),)), now=NOON)
    assert copy.follow_once()
    assert not copy.follow_once()
    stores.ledger.add(Binding((entry(two, 2),)), now=NOON)
    # A crash tore the last line, and another process goes on.
    path.write_bytes(path.read_bytes() + b'{"id": "torn')
    LedgerCopy(stores.ledger, path).follow_once()
    assert read_copy(path) == [entry(one, 1), entry(two, 2)]

    restored = memory_stores(now=lambda: NOON)
    case(restored)
    said: list[str] = []
    assert bind_again(restored, path, now=NOON, tell=said.append) == 2
    assert bind_again(restored, path, now=NOON, tell=said.append) == 0
    assert len(restored.ledger.bound(BoundFilter())) == 2
    assert restored.ledger.check() == []
    assert "2 entries" in said[0]
    assert "REG-000002" in said[1]
    assert "REG-000001" not in said[1]


def test_what_was_lost_with_a_database_is_named_and_another_case_takes_its_place(
    client: TestClient, stores: Stores, tmp_path: Path
) -> None:
    publish(client, OLD)
    key = declared(client)
    gone = memory_stores(now=lambda: NOON)
    path = tmp_path / "regression-ledger.jsonl"
    gone.ledger.add(Binding((entry(case(gone)),)), now=NOON)
    LedgerCopy(gone.ledger, path).follow_once()
    assert bind_again(stores, path, now=NOON) == 1

    # Whatever comes next, it is not taken for what was lost.
    other = add_case(stores, client, key)
    assert other.id == "REG-000002"
    refused = publish(client, NEW)
    assert refused.status_code == 409
    [error] = refused.json()["errors"]
    assert (error["where"], error["code"]) == ("REG-000001", "could_not_run")
    shown = client.get("/v1/regressions/REG-1").json()["data"]
    assert (shown["state"], shown["incident"], shown["case"]) == ("erased", "", None)
    assert [one["id"] for one in client.get("/v1/regressions").json()["data"]] == [
        "REG-000002",
        "REG-000001",
    ]
    body = {"by": other.id, "reason": "the backup was older"}
    told = client.post("/v1/regressions/REG-1/replace", json=body)
    assert told.status_code == 200, told.text
    entries = client.get("/v1/regressions/ledger").json()["data"]
    assert [(one["act"], one["regression_id"]) for one in entries][:2] == [
        ("bound", "REG-000002"),
        ("replaced", "REG-000001"),
    ]
    # It binds at once, and what mends it can be published now.
    assert publish(client, config("yak")).status_code == 409
    assert publish(client, NEW).status_code == 200


def test_a_copy_that_is_taken_away_is_written_again(tmp_path: Path) -> None:
    stores = memory_stores(now=lambda: NOON)
    path = tmp_path / "regression-ledger.jsonl"
    copy = LedgerCopy(stores.ledger, path)
    stores.ledger.add(Binding((entry(case(stores)),)), now=NOON)
    copy.follow_once()
    whole = path.read_bytes()
    path.unlink()
    while copy.follow_once():
        pass
    assert path.read_bytes() == whole


@pytest.mark.parametrize("act", ["replaced", "erased"])
def test_a_tombstone_that_nothing_bears_out_is_not_believed(
    client: TestClient, stores: Stores, tmp_path: Path, act: Any
) -> None:
    one, weak = case(stores), case(stores, number=2)
    stores.ledger.add(Binding((entry(one),)), now=NOON)
    path = tmp_path / "regression-ledger.jsonl"
    copy = LedgerCopy(stores.ledger, path)
    copy.follow_once()
    forged = entry(one, 9, act=act, replaced_by=weak.id, reason="fine")
    with path.open("ab") as file:
        file.write(ledger_record(forged) + b"\n")
    said: list[str] = []
    assert bind_again(stores, path, now=NOON, tell=said.append) == 0
    assert "REG-000001 bind no longer, and nothing bears that out" in said[0]
    assert [each.regression_id for each in stores.ledger.bound(BoundFilter())] == [one.id]
    [finding] = client.get("/v1/regressions/ledger/check").json()["data"]["findings"]
    assert f"{forged.id} ({act} REG-000001) stands in regression-ledger.jsonl" in finding


def test_tombstones_that_hold_come_back_with_what_stands_in(tmp_path: Path) -> None:
    stores = memory_stores(now=lambda: NOON)
    path = tmp_path / "regression-ledger.jsonl"
    cases = [case(stores, number=number) for number in (1, 2, 3)]
    copy = LedgerCopy(stores.ledger, path)
    stores.ledger.add(Binding(tuple(entry(each, at) for at, each in enumerate(cases, 1))), now=NOON)
    for before, after in ((1, 2), (2, 3)):
        stores.regressions.change(
            f"REG-{before}",
            edited(state="replaced", replaced_by=f"REG-00000{after}", reason="old"),
        )
    copy.follow_once()
    restored = memory_stores(now=lambda: NOON)
    for number in (1, 2, 3):
        case(restored, number=number)
    assert bind_again(restored, path, now=NOON) == 5
    assert [each.regression_id for each in restored.ledger.bound(BoundFilter())] == ["REG-000003"]


def test_a_damaged_copy_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "regression-ledger.jsonl"
    path.write_bytes(b"nonsense\n")
    with pytest.raises(EvidenceUnavailable, match=":1 is no line of the copy"):
        read_copy(path)


def test_a_publish_is_refused_while_the_content_of_a_case_that_binds_is_not_there(
    client: TestClient, stores: Stores
) -> None:
    publish(client, OLD)
    gone = memory_stores(now=lambda: NOON)
    for number in range(1, 8):
        last = case(gone, number=number)
    stores.ledger.put_back([entry(last)], now=NOON)
    refused = publish(client, NEW)
    assert refused.status_code == 409
    [error] = refused.json()["errors"]
    assert error["code"] == "could_not_run"
