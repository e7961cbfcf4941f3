"""Answers that are kept for whoever asks the same again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Protocol

import msgspec

ANSWER_LIFETIME: Final = timedelta(days=1)


class SavedAnswer(msgspec.Struct, frozen=True):
    """The answer that an Idempotency-Key got the first time."""

    request_sha256: str
    status: int
    body: bytes


class IdempotencyStore(Protocol):
    """Answers by (token, key), kept for ``ANSWER_LIFETIME``."""

    def find(self, token_id: str, key: str, *, now: datetime) -> SavedAnswer | None:
        """The saved answer, or None."""

    def save(self, token_id: str, key: str, answer: SavedAnswer, *, now: datetime) -> None:
        """Keep an answer; the first one saved stays."""
