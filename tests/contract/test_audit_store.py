"""The audit log: appended, never changed, found by who, what and when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from kintsugi.errors import InvalidInput
from kintsugi.ledger.leaves import audit_leaf, leaf_data
from kintsugi.model.audit import AuditEntry, AuditFilter, scan
from kintsugi.model.incident import new_id
from kintsugi.model.stores import Stores
from tests.contract.conftest import Maker
from tests.databases import NOON


def call(minutes: int = 0, **changes: Any) -> AuditEntry:
    at = NOON + timedelta(minutes=minutes)
    values: dict[str, Any] = {
        "id": new_id(at),
        "at": at,
        "actor": "ana/1",
        "operation": "declare_incident",
        "method": "POST",
        "object": "/v1/incidents",
        "result": "done",
        "status": 201,
        "request_id": "r1",
    }
    return AuditEntry(**{**values, **changes})


def test_an_entry_is_a_leaf_of_the_log_as_soon_as_it_is_kept(stores: Stores) -> None:
    entry = call(permission="events:read", address="10.0.0.1", dry_run=True)
    stores.audit.add(entry)
    assert stores.audit.page(AuditFilter(), limit=9) == ([entry], None)
    (leaf,) = stores.log.leaves(before=None, limit=9)
    assert leaf.kind == "audit"
    assert leaf.data.encode() == leaf_data(audit_leaf(entry))
    assert "ana" not in leaf.data


@pytest.mark.parametrize("identifier", ["", "no uuid"])
def test_an_id_that_is_none_is_refused(stores: Stores, identifier: str) -> None:
    with pytest.raises(InvalidInput):
        stores.audit.add(call(id=identifier))


def test_an_id_is_used_once(stores: Stores) -> None:
    entry = call()
    stores.audit.add(entry)
    with pytest.raises(InvalidInput):
        stores.audit.add(entry)
    assert len(stores.log.leaves(before=None, limit=9)) == 1


def test_entries_are_found_by_what_they_say(stores: Stores) -> None:
    entries = [
        call(0),
        call(1, actor="bo/2", result="refused", status=403),
        call(2, object="/v1/incidents/INC-1/close", operation="incident_close"),
        call(3, object="/v1/incidents-other", result="failed", status=503),
    ]
    for entry in entries:
        stores.audit.add(entry)
    for where, found in (
        (AuditFilter(), [3, 2, 1, 0]),
        (AuditFilter(actor="bo/2"), [1]),
        (AuditFilter(operation="incident_close"), [2]),
        (AuditFilter(object="/v1/incidents"), [1, 0]),
        (AuditFilter(object="/v1/incidents/"), [2]),
        (AuditFilter(result="failed"), [3]),
        (AuditFilter(since=entries[1].at, until=entries[2].at), [2, 1]),
    ):
        wanted = [entries[number] for number in found]
        assert stores.audit.page(where, limit=9)[0] == wanted
        assert stores.audit.count(where, ceiling=9) == len(wanted)
        assert [*scan(stores.audit, where, batch=1)] == wanted
    assert stores.audit.count(AuditFilter(), ceiling=2) == 2
    with pytest.raises(InvalidInput):
        stores.audit.page(AuditFilter(), limit=3, cursor="x")


def test_the_database_itself_refuses_to_change_an_entry(maker: Maker) -> None:
    stores = maker.empty()
    stores.audit.add(call())
    if not maker.conninfo:
        return  # memory has no other way in
    for statement in (
        "UPDATE kintsugi.audit SET actor = 'nobody/0'",
        "DELETE FROM kintsugi.audit",
        "TRUNCATE kintsugi.audit",
    ):
        with (
            psycopg.connect(maker.conninfo) as connection,
            pytest.raises(psycopg.errors.RaiseException, match="append-only"),
        ):
            connection.execute(statement.encode())
