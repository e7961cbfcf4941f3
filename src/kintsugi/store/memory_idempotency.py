"""Saved answers in memory; see ``idempotency``."""

from __future__ import annotations

from datetime import datetime

from kintsugi.model.idempotency import ANSWER_LIFETIME, SavedAnswer


class MemoryIdempotency:
    """Saved answers with the time they were saved."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], tuple[SavedAnswer, datetime]] = {}

    def find(self, token_id: str, key: str, *, now: datetime) -> SavedAnswer | None:
        answer, saved_at = self._answers.get((token_id, key), (None, now))
        return answer if now - saved_at < ANSWER_LIFETIME else None

    def save(self, token_id: str, key: str, answer: SavedAnswer, *, now: datetime) -> None:
        if self.find(token_id, key, now=now) is None:
            self._answers[(token_id, key)] = (answer, now)

    def forget(self, *, before: datetime, limit: int, drop: bool) -> list[str]:
        """Names of those that are older; they go with ``drop``."""
        old = [key for key, (_, saved_at) in self._answers.items() if saved_at < before][:limit]
        for key in old if drop else ():
            del self._answers[key]
        return [f"{token_id}/{key}" for token_id, key in old]
