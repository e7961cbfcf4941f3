"""The same cases on every implementation of the stores: memory, and two versions of PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from kintsugi.model.stores import Stores
from kintsugi.store import open_stores
from kintsugi.store.archive_shelf import Place, address_of
from kintsugi.store.memory import memory_stores
from kintsugi.vault.key_sources import FileKeys
from tests.databases import KINDS, NOON, Servers

# DELETE, not TRUNCATE: that makes new files for every table and index of every month.
_EMPTIED = (
    "ALTER TABLE kintsugi.custody DISABLE TRIGGER ALL;"
    "ALTER TABLE kintsugi.proofs DISABLE TRIGGER ALL;"
    "ALTER TABLE kintsugi.regression_ledger DISABLE TRIGGER ALL;"
    "ALTER TABLE kintsugi.audit DISABLE TRIGGER ALL;"
    "ALTER TABLE kintsugi.overrides DISABLE TRIGGER ALL;"
    "ALTER TABLE kintsugi.incident_entries DISABLE TRIGGER ALL;"
    + "".join(
        f"DELETE FROM kintsugi.{table};"
        for table in (
            *("events", "event_records", "event_payloads", "evaluations", "event_texts"),
            *("decisions_per_minute", "stored_by_gateway", "configuration_versions"),
            *("gateways", "tokens", "exports", "idempotent_answers"),
            *("users", "sessions", "invitations", "sign_ins"),
            *("signals", "custody", "audit"),
            *(
                "escalations",
                "escalation_contents",
                "overrides",
                "quarantines",
                "containments",
                "holds",
            ),
            *("journal_series", "journal_gaps"),
            *("spans", "span_contents", "traces"),
            *("vault_keys", "data_keys", "erasures"),
            *("followup_incidents", "followups"),
            "incident_terms",
            *("regressions", "regression_versions", "proofs", "regression_ledger"),
            *("reports", "report_recurrences", "report_files", "report_sources", "report_links"),
            *("workflows", "workflow_versions", "workflow_names_seen", "workflow_parts_seen"),
            *("retention_settings", "retention_runs", "expired_months"),
            *("incidents", "incident_entries", "incident_events", "incident_obligations"),
            *("freezes", "freeze_events", "incident_affected"),
            *("archives", "archive_files"),
            *("notices", "notices_once", "notify_targets", "notify_deliveries"),
            *("log_leaves", "log_nodes", "log_batches", "log_witnessed", "log_cosigned"),
        )
    )
    + "".join(
        f"UPDATE kintsugi.{table} SET last_position = 0;"
        for table in ("ingest_position", "search_position")
    )
    + "UPDATE kintsugi.log_edge SET size = 0, hashes = '{}';"
    + "ALTER TABLE kintsugi.custody ENABLE TRIGGER ALL;"
    + "ALTER TABLE kintsugi.proofs ENABLE TRIGGER ALL;"
    + "ALTER TABLE kintsugi.regression_ledger ENABLE TRIGGER ALL;"
    + "ALTER TABLE kintsugi.audit ENABLE TRIGGER ALL;"
    + "ALTER TABLE kintsugi.overrides ENABLE TRIGGER ALL;"
    + "ALTER TABLE kintsugi.incident_entries ENABLE TRIGGER ALL;"
)


class Maker:
    """Makes empty stores of one kind; a module shares one database, emptied for each test."""

    def __init__(self, opened: Stores | None, conninfo: str) -> None:
        self._opened = opened
        self.conninfo = conninfo

    def empty(self) -> Stores:
        """Stores with nothing in them."""
        if self._opened is None:
            return memory_stores(now=lambda: NOON)
        with psycopg.connect(self.conninfo) as connection:
            connection.execute(_EMPTIED.encode())
        while self._opened.changes.wait(timeout_seconds=0):
            pass
        return self._opened


@pytest.fixture(scope="module", params=["memory", *KINDS])
def maker(
    request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Maker]:
    """The implementation under test."""
    if request.param == "memory":
        yield Maker(None, "")
        return
    server = servers.get(request.param)
    conninfo = server.create()
    keys = [FileKeys(tmp_path_factory.mktemp("vault") / "vault-key")]
    place = Place(
        address_of(str(tmp_path_factory.mktemp("shelf"))), tmp_path_factory.mktemp("copies")
    )
    with open_stores(conninfo, now=lambda: NOON, keys=keys, archive=place) as opened:
        yield Maker(opened, conninfo)
    server.drop(conninfo)


@pytest.fixture
def stores(maker: Maker) -> Stores:
    """Empty stores whose clock says noon of 23 April 2026."""
    return maker.empty()
