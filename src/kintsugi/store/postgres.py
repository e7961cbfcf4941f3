"""All stores on one PostgreSQL database."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from kintsugi.errors import QueryRefused
from kintsugi.model.stores import Stores
from kintsugi.store.affected import PostgresAffected
from kintsugi.store.archive_parquet import Parquet
from kintsugi.store.archive_shelf import Copies, Place, Shelf
from kintsugi.store.archive_tasks import Tasks
from kintsugi.store.archives import PostgresArchives
from kintsugi.store.audit import PostgresAudit
from kintsugi.store.changes import PostgresChanges
from kintsugi.store.cold import Cold
from kintsugi.store.configurations import PostgresConfigurations
from kintsugi.store.connections import Database
from kintsugi.store.containments import PostgresContainments
from kintsugi.store.contents import Opener
from kintsugi.store.custody import PostgresCustody
from kintsugi.store.erasures import PostgresErasures
from kintsugi.store.events import PostgresEvents
from kintsugi.store.exports import PostgresExports
from kintsugi.store.followups import PostgresFollowups
from kintsugi.store.freezes import PostgresFreezes
from kintsugi.store.gateways import PostgresGateways
from kintsugi.store.holds import PostgresHolds
from kintsugi.store.idempotency import PostgresIdempotency
from kintsugi.store.incidents import PostgresIncidents
from kintsugi.store.keyring import Keyring
from kintsugi.store.log import PostgresLog
from kintsugi.store.migrate import prepare_database
from kintsugi.store.notices import PostgresNotices
from kintsugi.store.notify import PostgresNotify
from kintsugi.store.overrides import PostgresOverrides
from kintsugi.store.oversight import PostgresOversight
from kintsugi.store.packages import PostgresPackages
from kintsugi.store.proofs import PostgresProofs
from kintsugi.store.query import PostgresQueryRunner
from kintsugi.store.reach import PostgresReach
from kintsugi.store.reader import ensure_reader, reader_name
from kintsugi.store.regression_ledger import PostgresRegressionLedger
from kintsugi.store.regressions import PostgresRegressions
from kintsugi.store.report_doors import PostgresReportDoors
from kintsugi.store.reports import PostgresReports
from kintsugi.store.retention import PostgresRetention
from kintsugi.store.sealer import Sealer
from kintsugi.store.signals import PostgresSignals
from kintsugi.store.spans import PostgresSpans
from kintsugi.store.tokens import PostgresTokens
from kintsugi.store.users import PostgresSessions, PostgresUsers
from kintsugi.store.vault import PostgresVault
from kintsugi.store.workflows import PostgresWorkflows
from kintsugi.vault.key_sources import KeySource


class PostgresStores(Stores, frozen=True):
    """The stores and what they share."""

    database: Database

    def ping(self) -> None:
        """Ask the database something.

        Raises:
            StoreUnavailable: it does not answer.
        """
        with self.database.transaction() as connection:
            connection.execute("SELECT 1")

    def close(self) -> None:
        """Close every connection; a blocked ``changes.wait`` returns."""
        self.changes.close()
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _utc_now() -> datetime:
    return datetime.now(UTC)


def open_stores(
    conninfo: str,
    *,
    now: Callable[[], datetime] = _utc_now,
    keys: Sequence[KeySource] = (),
    archive: Place | None = None,
) -> PostgresStores:
    """Bring a database up to date and open every store on it.

    Args:
        conninfo: for libpq, or a ``postgresql://`` URL.
        now: clock against which far-future events are refused.
        keys: where key-encryption keys come from; the first one gives new keys. Without any,
            content lies open in the database until a server that has some seals it.
        archive: where archived months are; without it, reads that need one are refused.

    Raises:
        StoreUnavailable: the database cannot be reached; later losses raise this from the calls
            that they hit, and heal by themselves.
        DatabaseUnusable: it is too old, too new, or may not be changed by this role.
    """
    prepare_database(conninfo, now=now())
    database = Database(conninfo)
    keyring = Keyring(database, keys)
    sealer, opener = Sealer(database, keyring), Opener(keyring)
    place = archive or Place("", Path(tempfile.gettempdir()))
    shelf, parquet = Shelf(place.address), Parquet()
    copies = Copies(shelf, place.copies, bytes_max=place.copies_bytes)
    cold = Cold(database, copies, parquet)
    log = PostgresLog(database, cold)
    tasks = Tasks(database, shelf, copies, parquet, opener, log)
    return PostgresStores(
        events=PostgresEvents(database, sealer, opener, cold, now=now),
        configurations=PostgresConfigurations(database),
        gateways=PostgresGateways(database),
        tokens=PostgresTokens(database),
        users=PostgresUsers(database),
        sessions=PostgresSessions(database),
        exports=PostgresExports(database),
        log=log,
        idempotency=PostgresIdempotency(database),
        oversight=PostgresOversight(database, keyring),
        spans=PostgresSpans(database, sealer, opener, now=now),
        vault=PostgresVault(database, keyring, sealer, now=now),
        erasures=PostgresErasures(database, now=now),
        signals=PostgresSignals(database),
        custody=PostgresCustody(database),
        packages=PostgresPackages(database, opener, cold),
        audit=PostgresAudit(database),
        containments=PostgresContainments(database),
        holds=PostgresHolds(database),
        retention=PostgresRetention(database),
        incidents=PostgresIncidents(database),
        freezes=PostgresFreezes(database),
        archives=PostgresArchives(database, shelf, copies, tasks),
        affected=PostgresAffected(database),
        reach=PostgresReach(database),
        notices=PostgresNotices(database),
        notify=PostgresNotify(database, keyring),
        overrides=PostgresOverrides(database),
        followups=PostgresFollowups(database),
        workflows=PostgresWorkflows(database),
        reports=PostgresReports(database, sealer, opener),
        report_doors=PostgresReportDoors(database),
        regressions=PostgresRegressions(database, keyring),
        proofs=PostgresProofs(database),
        ledger=PostgresRegressionLedger(database),
        query=PostgresQueryRunner(_Reader(conninfo)),
        changes=PostgresChanges(conninfo),
        database=database,
    )


class _Reader:
    """How to connect as the reader; the login is made when it is first needed."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._lock = threading.Lock()
        self._reader: str | None = None

    def __call__(self) -> str:
        with self._lock:
            if self._reader is None:
                try:
                    self._reader = ensure_reader(self._conninfo)
                except psycopg.errors.InsufficientPrivilege as error:
                    raise QueryRefused(
                        "`kt sql` needs a login that can read two views and nothing else, and the "
                        "role in KT_DATABASE_URL may not create it: give that role CREATEROLE "
                        f'(the login is called "{reader_name("DATABASE")}")'
                    ) from error
            return self._reader
