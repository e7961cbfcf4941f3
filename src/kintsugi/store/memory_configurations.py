"""Configurations in memory; see ``configurations``."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from datetime import datetime

from kintsugi.errors import NotFound, VersionConflict
from kintsugi.ledger.leaves import (
    ConfigurationLeaf,
    content_digest,
)
from kintsugi.model.configurations import ConfigurationVersion
from kintsugi.model.notice_sources import (
    of_configuration,
)
from kintsugi.store.memory_changes import MemoryChanges
from kintsugi.store.memory_lock import LOCK
from kintsugi.store.memory_log import MemoryLog
from kintsugi.store.memory_notices import Tell


class MemoryConfigurations:
    """Versions of each configuration, oldest first."""

    def __init__(self, changes: MemoryChanges, log: MemoryLog, tell: Tell) -> None:
        self._changes = changes
        self._log = log
        self._tell = tell
        self._versions: dict[str, tuple[ConfigurationVersion, ...]] = {}

    def list(self) -> list[ConfigurationVersion]:
        newest = [versions[-1] for versions in self._versions.values()]
        return sorted(newest, key=lambda version: (version.created_at, version.id), reverse=True)

    def get(self, config_id: str, version: int | None = None) -> ConfigurationVersion:
        for found in self.versions(config_id):
            if version is None or found.version == version:
                return found
        shown = config_id if version is None else f"{config_id}@{version}"
        raise NotFound(f'there is no configuration "{shown}"')

    def versions(self, config_id: str) -> builtins.list[ConfigurationVersion]:
        return [*reversed(self._versions.get(config_id, ()))]

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
        with LOCK:
            before = self._versions.get(config_id, ())
            newest = before[-1].version if before else 0
            if expected_version is not None and expected_version != newest:
                raise VersionConflict(
                    f'configuration "{config_id}" is at version {newest}, not {expected_version}'
                )
            if before and before[-1].content == content:
                return before[-1]
            if guard is not None:
                guard()
            added = ConfigurationVersion(
                id=config_id,
                version=newest + 1,
                content=content,
                revision=revision,
                author=author,
                note=note,
                created_at=now,
                pack_version=pack_version,
            )
            self._versions[config_id] = (*before, added)
            self._tell([of_configuration(added, now=now)])
            leaf = ConfigurationLeaf(
                id=added.id,
                version=added.version,
                revision=added.revision,
                content_digest=content_digest(added.content),
                author=added.author,
                recorded_at=now,
            )
            self._log.add(leaf, now=now)
        self._changes.announce("configurations")
        return added
