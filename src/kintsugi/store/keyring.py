"""The key-encryption keys in use: which there are is written in the database, the keys themselves
come from their sources and stay in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from kintsugi.errors import KeyUnavailable
from kintsugi.model.vault import EncryptionKey
from kintsugi.store.connections import Connection, Database
from kintsugi.store.statements import load_statements
from kintsugi.vault.key_sources import KeySource
from kintsugi.vault.sealing import key_id

_SQL: Final = load_statements("vault")


class Keyring:
    """Keys by id, fetched when they are first needed."""

    def __init__(self, database: Database, sources: Sequence[KeySource]) -> None:
        """Fetch nothing yet.

        Args:
            sources: the first one gives new keys, all of them old ones. Without any, content is
                neither sealed nor opened.
        """
        self._database = database
        self._sources = tuple(sources)
        self._lock = threading.Lock()
        self._keys: dict[str, bytes] = {}

    @property
    def seals(self) -> bool:
        """Whether there is a source of keys at all."""
        return bool(self._sources)

    def key(self, wanted: str) -> bytes:
        """The key with this id.

        Raises:
            KeyUnavailable: it is not to be had.
        """
        found = self._keys.get(wanted)
        if found is not None:
            return found
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["key"], [wanted]).fetchone()
        if row is None:
            raise KeyUnavailable(f"nothing is known of the key {wanted}")
        return self._fetch(EncryptionKey(*row))

    def newest(self, connection: Connection, *, now: datetime) -> str:
        """The id of the key that wraps; the first one is made here.

        Raises:
            KeyUnavailable: none can be made.
        """
        row = connection.execute(_SQL["newest_key"]).fetchone()
        if row is not None:
            return str(row[0])
        connection.execute(_SQL["lock_epoch"])  # one of all that start at once makes it
        row = connection.execute(_SQL["newest_key"]).fetchone()
        return str(row[0]) if row is not None else self.begin(connection, now=now).id

    def begin(self, connection: Connection, *, now: datetime) -> EncryptionKey:
        """Make a new key the newest. The caller has locked the epoch.

        Raises:
            KeyUnavailable: the source has none to offer.
        """
        if not self._sources:
            raise KeyUnavailable("no source of keys was named")
        known = frozenset(str(row[0]) for row in connection.execute(_SQL["keys"]).fetchall())
        source = self._sources[0]
        made = source.make(known)
        key = EncryptionKey(key_id(made.key), source.name, made.reference, now)
        if key.id in known:
            raise KeyUnavailable(f'the source "{source.name}" gave a key that was used before')
        connection.execute(_SQL["add_key"], [key.id, key.source, key.reference, key.created_at])
        self._keys[key.id] = made.key
        return key

    def _fetch(self, wanted: EncryptionKey) -> bytes:
        with self._lock:
            if wanted.id in self._keys:
                return self._keys[wanted.id]
            tried = []
            for source in self._sources:
                if source.name != wanted.source:
                    continue
                try:
                    key = source.fetch(wanted.reference)
                except KeyUnavailable as error:
                    tried.append(str(error))
                    continue
                if key_id(key) != wanted.id:
                    tried.append(f'the source "{source.name}" gave another key for {wanted.id}')
                    continue
                self._keys[wanted.id] = key
                return key
        raise KeyUnavailable(
            "; ".join(tried)
            or f'key {wanted.id} came from "{wanted.source}", which KT_VAULT_KEY does not name'
        )
