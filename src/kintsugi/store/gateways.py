"""Gateways in PostgreSQL: the last report of each."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final

import msgspec

from kintsugi.errors import NotFound
from kintsugi.model.gateways import GatewayRecord, GatewayReport
from kintsugi.model.notice_sources import of_gateway, of_gateway_software
from kintsugi.store.connections import Database
from kintsugi.store.notices import add_notice
from kintsugi.store.statements import load_statements

_SQL: Final = load_statements("gateways")
_DIFFERS: Final = msgspec.json.Decoder(dict[str, datetime])
_REPORT: Final = msgspec.json.Decoder(GatewayReport)


class PostgresGateways:
    """The gateway store of the protocol in ``model/gateways.py``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(
        self, report: GatewayReport, *, differs: Collection[str] = (), now: datetime
    ) -> GatewayRecord:
        with self._database.transaction() as connection:
            before = connection.execute(_SQL["lock_last"], [report.id]).fetchone()
            known = _DIFFERS.decode(before[0]) if before is not None else {}
            ran = _REPORT.decode(before[1]) if before is not None else None
            since = {name: known.get(name, now) for name in sorted(differs)}
            texts = [msgspec.json.encode(value).decode() for value in (report, since)]
            values = [report.id, texts[0], now, now, texts[1]]
            row = connection.execute(_SQL["put"], values).fetchone()
            connection.execute(_SQL["announce"])
            if (switched := of_gateway(ran, report, now=now)) is not None:
                add_notice(connection, switched)
            if (upgraded := of_gateway_software(ran, report, now=now)) is not None:
                add_notice(connection, upgraded)
        registered_at = now if row is None else row[0]
        return GatewayRecord(report, registered_at, now, since)

    def get(self, gateway_id: str) -> GatewayRecord:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["get"], [gateway_id]).fetchone()
        if row is None:
            raise NotFound(f'no gateway "{gateway_id}" ever registered')
        return _record(*row)

    def list(self) -> list[GatewayRecord]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["list"]).fetchall()
        return [_record(*row) for row in rows]


def _record(
    report: str, registered_at: datetime, last_seen_at: datetime, differs: str
) -> GatewayRecord:
    return GatewayRecord(
        _REPORT.decode(report), registered_at, last_seen_at, _DIFFERS.decode(differs)
    )
