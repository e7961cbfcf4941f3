"""Configurations in their versions, as they are kept."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import msgspec


class ConfigurationVersion(msgspec.Struct, frozen=True):
    """One immutable version; versions of an id count up from 1."""

    id: str
    version: int
    content: str
    revision: str
    author: str
    note: str
    created_at: datetime
    pack_version: str = ""


class ConfigurationStore(Protocol):
    """Versioned configurations; a version is never changed."""

    def list(self) -> list[ConfigurationVersion]:
        """The newest version of every id."""

    def get(self, config_id: str, version: int | None = None) -> ConfigurationVersion:
        """One version; the newest when ``version`` is None.

        Raises:
            NotFound: there is none.
        """

    def versions(self, config_id: str) -> builtins.list[ConfigurationVersion]:
        """Every version of one id, newest first; empty when there is none."""

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
        """Add a version; the newest is returned unchanged when its content is the same.

        Args:
            guard: called before anything is stored, when no regression case can come to bind any
                more until it is; what it raises keeps the version from being stored.

        Raises:
            VersionConflict: ``expected_version`` is given and is not the newest.
        """
