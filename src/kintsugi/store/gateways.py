"""Gateways in PostgreSQL: the last report of each."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from kintsugi.errors import NotFound
from kintsugi.model.stores import GatewayRecord, GatewayReport
from kintsugi.store.connections import Database
from kintsugi.store.statements import load_statements

_SQL: Final = load_statements("gateways")
_REPORT: Final = msgspec.json.Decoder(GatewayReport)


class PostgresGateways:
    """The gateway store of the protocol in ``model/stores.py``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, report: GatewayReport, *, now: datetime) -> GatewayRecord:
        values = [report.id, msgspec.json.encode(report).decode(), now, now]
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["put"], values).fetchone()
            connection.execute(_SQL["announce"])
        registered_at = now if row is None else row[0]
        return GatewayRecord(report, registered_at, now)

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


def _record(report: str, registered_at: datetime, last_seen_at: datetime) -> GatewayRecord:
    return GatewayRecord(_REPORT.decode(report), registered_at, last_seen_at)
