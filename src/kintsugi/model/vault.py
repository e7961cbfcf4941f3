"""Recorded content: whose it is, and the keys that seal it.

Implemented by ``store/vault.py`` on PostgreSQL and by ``store/memory_vault.py``; both pass the
same contract tests.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import Final, Literal, Protocol, Self

import msgspec

from kintsugi.model.event import DecisionEvent

SubjectKind = Literal["user", "session", "event"]
_KINDS: Final[dict[str, SubjectKind]] = {"user": "user", "session": "session", "event": "event"}


class Subject(msgspec.Struct, frozen=True):
    """Whose content it is: what shares one data key and is erased together.

    The user of an exchange; where none was named its session; where that was not named either, the
    exchange itself, by its event id.
    """

    kind: SubjectKind
    id: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"

    @classmethod
    def of(cls, event: DecisionEvent) -> Self:
        """Whose content an event holds."""
        if event.user_id:
            return cls("user", event.user_id)
        if event.session_id:
            return cls("session", event.session_id)
        return cls("event", event.id)

    @classmethod
    def parse(cls, text: str) -> Self:
        """``session:ID``, ``event:ID``, ``user:ID``, or just a user's id.

        Raises:
            ValueError: no id is in it.
        """
        head, colon, rest = text.partition(":")
        kind: SubjectKind = "user"
        if colon and (named := _KINDS.get(head)):
            kind, text = named, rest
        if not text:
            raise ValueError(
                "name whose content: a user id, or session:ID or event:ID where no user was named"
            )
        return cls(kind, text.lower() if kind == "event" else text)

    @property
    def digest(self) -> str:
        """What stands for it in custody entries: 16 hex digits, to be compared, not read."""
        return sha256(str(self).encode("utf-8", "surrogatepass")).hexdigest()[:16]


class EncryptionKey(msgspec.Struct, frozen=True):
    """A key-encryption key, without the key.

    Attributes:
        id: the beginning of a digest of the key, so that a wrong one is known as such.
        source: where it comes from: ``file``, ``env`` or a plug-in's name.
        reference: what the source needs to give it back; never the key.
        retired_at: since when no data key is wrapped by it; None for the one in use and for those
            that are being replaced.
    """

    id: str
    source: str
    reference: str
    created_at: datetime
    retired_at: datetime | None = None


class KeyUse(msgspec.Struct, frozen=True):
    """How much hangs on a key-encryption key.

    Attributes:
        data_keys: that it wraps, counted up to a ceiling.
    """

    key: EncryptionKey
    current: bool
    data_keys: int
    data_keys_is_floor: bool


class VaultStatus(msgspec.Struct, frozen=True):
    """How far the background work is.

    Attributes:
        unsealed: payloads that lie open still, from before there was a vault; up to a ceiling.
        to_rewrap: data keys that an older key-encryption key wraps, up to a ceiling.
    """

    unsealed: int
    to_rewrap: int


class KeyStore(Protocol):
    """The keys, and what is to be sealed or wrapped anew."""

    def ready(self) -> None:
        """Make the first key, or fetch the newest.

        Raises:
            KeyUnavailable: it is not to be had; nothing can be stored.
        """

    def key_uses(self) -> list[KeyUse]:
        """Every key-encryption key, newest first."""

    def rotate(self, *, now: datetime) -> EncryptionKey:
        """Begin a new key-encryption key; ``rewrap`` brings the data keys over.

        Raises:
            KeyUnavailable: its source has no other key to offer.
        """

    def rewrap(self, *, limit: int, now: datetime) -> int:
        """Wrap at most ``limit`` data keys by the newest key; 0 when none is left, and then the
        older ones are retired.

        Raises:
            KeyUnavailable: the key that wraps them, or the newest, is not to be had.
        """

    def seal_pending(self, *, limit: int) -> int:
        """Seal at most ``limit`` payloads that lie open; 0 when none does."""

    def status(self) -> VaultStatus:
        """How much background work is left."""
