"""Texts under a data key of their own: secrets of webhooks, content of answers that are held. The
vault's keys wrap it as they wrap those of events, so rotation brings it over and, where it names a
subject, an erasure destroys it."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from kintsugi.errors import InvalidInput, KeyUnavailable
from kintsugi.store.connections import Connection
from kintsugi.store.keyring import Keyring
from kintsugi.store.statements import load_statements
from kintsugi.vault.sealing import CannotOpen, new_key, seal, unseal, unwrap, wrap

_SQL: Final = load_statements("own_keys")


class OwnKeys:
    """Seals and opens; the id of the key is that of the thing it seals, or one made for it."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    @property
    def seals(self) -> bool:
        """Whether there are keys to seal with."""
        return self._keyring.seals

    def add(
        self, connection: Connection, identifier: UUID, *, now: datetime, subject: str | None = None
    ) -> None:
        """Make a key.

        Args:
            subject: whose erasure destroys it, as ``sealer.subject_text`` says; None for nobody's.

        Raises:
            InvalidInput: the id is taken.
            KeyUnavailable: there is nothing to wrap it with.
        """
        if not self.seals:
            raise KeyUnavailable("secrets are only kept sealed, and this server has no key for it")
        by = self._keyring.newest(connection, now=now)
        wrapped = wrap(new_key(), self._keyring.key(by), data_key=identifier.bytes)
        values = [identifier, subject, by, wrapped, now]
        if connection.execute(_SQL["add"], values).rowcount == 0:
            raise InvalidInput(f'"{identifier}" is taken')

    def seal(self, connection: Connection, identifier: UUID, text: bytes) -> bytes:
        """A text as it is stored.

        Raises:
            KeyUnavailable: the key is gone, or cannot be unwrapped.
        """
        key = self._key(connection, identifier)
        return seal(text, key, data_key=identifier.bytes, event=identifier.bytes).data

    def open(self, connection: Connection, identifier: UUID, sealed: bytes) -> bytes:
        """The text.

        Raises:
            KeyUnavailable: the key is gone, or it was changed in the database.
        """
        key = self._key(connection, identifier)
        try:
            return unseal(sealed, key, data_key=identifier.bytes, event=identifier.bytes)[0]
        except CannotOpen:
            raise KeyUnavailable(f"what {identifier} seals was changed in the database") from None

    def remove(self, connection: Connection, identifier: UUID) -> None:
        """Destroy the key."""
        connection.execute(_SQL["remove"], [identifier])

    def _key(self, connection: Connection, identifier: UUID) -> bytes:
        row = connection.execute(_SQL["get"], [identifier]).fetchone()
        if row is None:
            raise KeyUnavailable(f"the key that seals {identifier} is gone")
        try:
            return unwrap(row[1], self._keyring.key(row[0]), data_key=identifier.bytes)
        except CannotOpen:
            raise KeyUnavailable(f"the key {identifier} was changed in the database") from None
