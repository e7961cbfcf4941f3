"""Configuration versions in PostgreSQL."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from kintsugi.errors import NotFound, VersionConflict
from kintsugi.ledger.leaves import ConfigurationLeaf, content_digest
from kintsugi.model.configurations import ConfigurationVersion
from kintsugi.model.notice_sources import of_configuration
from kintsugi.store.connections import Connection, Database
from kintsugi.store.log import add_leaf
from kintsugi.store.notices import add_notice
from kintsugi.store.regression_ledger import hold_still
from kintsugi.store.statements import load_statements

_SQL: Final = load_statements("configurations")


class PostgresConfigurations:
    """The configuration store of the protocol in ``model/configurations.py``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self) -> list[ConfigurationVersion]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["newest"]).fetchall()
        newest = [ConfigurationVersion(*row) for row in rows]
        return sorted(newest, key=lambda version: (version.created_at, version.id), reverse=True)

    def get(self, config_id: str, version: int | None = None) -> ConfigurationVersion:
        with self._database.transaction() as connection:
            found = _get(connection, config_id, version)
        if found is None:
            shown = config_id if version is None else f"{config_id}@{version}"
            raise NotFound(f'there is no configuration "{shown}"')
        return found

    def versions(self, config_id: str) -> builtins.list[ConfigurationVersion]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["versions"], [config_id]).fetchall()
        return [ConfigurationVersion(*row) for row in rows]

    def put(
        self,
        *,
        config_id: str,
        content: str,
        revision: str,
        author: str,
        note: str,
        pack_version: str,
        now: datetime,
        expected_version: int | None = None,
        guard: Callable[[], None] | None = None,
    ) -> ConfigurationVersion:
        with self._database.transaction() as connection:
            connection.execute(_SQL["lock"])
            newest = _get(connection, config_id, None)
            number = newest.version if newest else 0
            if expected_version is not None and expected_version != number:
                raise VersionConflict(
                    f'configuration "{config_id}" is at version {number}, not {expected_version}'
                )
            if newest is not None and newest.content == content:
                return newest
            if guard is not None:
                hold_still(connection)
                guard()
            added = ConfigurationVersion(
                id=config_id,
                version=number + 1,
                content=content,
                revision=revision,
                author=author,
                note=note,
                created_at=now,
                pack_version=pack_version,
            )
            connection.execute(
                _SQL["add"],
                [
                    added.id,
                    added.version,
                    added.content,
                    added.revision,
                    added.author,
                    added.note,
                    added.created_at,
                    added.pack_version,
                ],
            )
            leaf = ConfigurationLeaf(
                id=added.id,
                version=added.version,
                revision=added.revision,
                content_digest=content_digest(added.content),
                author=added.author,
                recorded_at=now,
            )
            add_notice(connection, of_configuration(added, now=now))
            add_leaf(connection, leaf, now=now)
            connection.execute(_SQL["announce"])
        return added


def _get(
    connection: Connection, config_id: str, version: int | None
) -> ConfigurationVersion | None:
    values: builtins.list[Any] = [config_id, version, version is None]
    row = connection.execute(_SQL["get"], values).fetchone()
    return None if row is None else ConfigurationVersion(*row)
