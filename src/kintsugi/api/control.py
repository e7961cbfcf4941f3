"""What every handler of the control plane works with, built once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from kintsugi.api.auth import Authenticator
from kintsugi.api.feed import ChangeFeed
from kintsugi.api.idempotency import Idempotency
from kintsugi.api.metrics import ApiMetrics
from kintsugi.api.permissions import Scope, allows
from kintsugi.api.sight import seen_by
from kintsugi.model.erasure import ErasurePlace
from kintsugi.model.holds import HOLDS_MAX, narrowed
from kintsugi.model.stores import Stores
from kintsugi.model.tokens import Token
from kintsugi.model.vault import Subject


@dataclass(frozen=True, slots=True)
class Control:
    """The control plane's parts.

    Attributes:
        stores: in a request, as its caller may see them (``api/sight.py``).
        all_stores: whoever asks, with everything in them. For what has to hold for everybody, and
            never to be shown: a case of a restricted incident binds too.
        log_key_file: the keys that sign the log's checkpoints, see ``ledger/log_keys.py``.
        places: where content may be besides the events, for erasures.
        clock: the time now, aware UTC; given, so that tests decide it.
    """

    stores: Stores
    all_stores: Stores
    state_dir: Path
    log_key_file: Path
    clock: Callable[[], datetime]
    authenticator: Authenticator
    feed: ChangeFeed
    idempotency: Idempotency
    metrics: ApiMetrics
    started_at: datetime
    places: tuple[ErasurePlace, ...]

    def holding(self, subject: Subject) -> Sequence[str]:
        """The names of the legal holds that keep a subject's content from being erased: those
        that cover any event of it."""
        return [
            hold.name
            for hold in self.stores.holds.list(in_force=True, limit=HOLDS_MAX)
            if (where := narrowed(hold.where, subject)) is not None
            and self.stores.events.count(where, ceiling=1)
        ]


# These are coroutines only because FastAPI would send plain functions to the thread pool.
async def _control(request: Request) -> Control:
    control = request.app.state.control
    assert isinstance(control, Control)  # noqa: S101  (a wiring error, not an input error)
    caller: Token | None = getattr(request.state, "caller", None)
    if caller is None or allows(caller.scopes, Scope.INCIDENTS_RESTRICTED):
        return control
    return replace(control, stores=seen_by(control.stores, caller.name))


async def _caller(request: Request) -> Token:
    caller = request.state.caller
    assert isinstance(caller, Token)  # noqa: S101
    return caller


async def _body(request: Request) -> bytes:
    return await request.body()


Ctl = Annotated[Control, Depends(_control)]
Caller = Annotated[Token, Depends(_caller)]
RawBody = Annotated[bytes, Depends(_body)]
