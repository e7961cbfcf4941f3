"""The same request twice, done once: ``Idempotency-Key``."""

from __future__ import annotations

import asyncio
import hashlib
import re
import weakref
from collections.abc import Awaitable, Callable
from datetime import datetime

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from kintsugi.errors import IdempotencyMismatch, InvalidInput
from kintsugi.model.idempotency import IdempotencyStore, SavedAnswer
from kintsugi.model.tokens import Token

KEY_CHARS_MAX = 200
_KEY = re.compile(r"[!-~]+")


class Idempotency:
    """Answers a repeated request with the answer that it got the first time.

    Failures are not kept: they changed nothing, and a retry may fare better. A handler whose
    answer holds a secret leaves a version without it in ``request.state.answer_to_keep``.
    """

    def __init__(self, store: IdempotencyStore, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        # A second request with the same key waits here for the first one's answer.
        self._under_way: weakref.WeakValueDictionary[tuple[str, str], asyncio.Lock] = (
            weakref.WeakValueDictionary()
        )

    async def once(
        self, request: Request, key: str, handle: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        """The saved answer, or the handler's, which is saved.

        Raises:
            InvalidInput: the key is empty, too long or not printable.
            IdempotencyMismatch: the key was used with another request.
        """
        if len(key) > KEY_CHARS_MAX or not _KEY.fullmatch(key):
            raise InvalidInput(
                f"header Idempotency-Key: 1 to {KEY_CHARS_MAX} visible ASCII characters"
            )
        caller: Token = request.state.caller
        place = (caller.id, key)  # every caller has its own keys
        digest = await _digest(request)
        lock = self._under_way.setdefault(place, asyncio.Lock())
        async with lock:
            saved = await run_in_threadpool(self._store.find, *place, now=self._clock())
            if saved is None:
                return await self._first(request, place, digest, handle)
            if saved.request_sha256 != digest:
                raise IdempotencyMismatch
            return Response(
                saved.body,
                status_code=saved.status,
                media_type="application/json",
                headers={"idempotency-replayed": "true"},
            )

    async def _first(
        self,
        request: Request,
        place: tuple[str, str],
        digest: str,
        handle: Callable[[Request], Awaitable[Response]],
    ) -> Response:
        response = await handle(request)
        if response.status_code < 300:
            body = getattr(request.state, "answer_to_keep", None) or bytes(response.body)
            answer = SavedAnswer(digest, response.status_code, body)
            await run_in_threadpool(self._store.save, *place, answer, now=self._clock())
        return response


async def _digest(request: Request) -> str:
    head = f"{request.method} {request.url.path}?{request.url.query}\0"
    return hashlib.sha256(head.encode() + await request.body()).hexdigest()
