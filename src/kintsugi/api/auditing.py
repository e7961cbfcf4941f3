"""What every audited route leaves in the audit log, whatever became of the request."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from kintsugi.api import problems
from kintsugi.api.permissions import Permission
from kintsugi.api.problems import Problem
from kintsugi.errors import Forbidden, KintsugiError, Unauthenticated
from kintsugi.model.audit import AuditEntry, AuditStore
from kintsugi.model.incident import new_id
from kintsugi.model.tokens import Token

log = structlog.get_logger(__name__)

OBJECT_CHARS_MAX: Final = 300
REQUEST_ID: Final = "kintsugi.request_id"
"""Where a request's scope holds its id; the answer carries it."""

_REQUEST_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)


def request_id_of(request: Request) -> str:
    """The caller's ``X-Request-ID`` where it is harmless, else a new one; the same all along."""
    known: str | None = request.scope.get(REQUEST_ID)
    if known is None:
        given = request.headers.get("x-request-id", "")
        known = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(12)
        request.scope[REQUEST_ID] = known
    return known


async def written_down(
    request: Request,
    handle: Callable[[Request], Awaitable[Response]],
    *,
    operation: str,
    permission: Permission,
) -> Response:
    """Let a request be handled, and write down what became of it before the answer leaves.

    A request that identifies nobody is not written down: anybody could fill the log with those.
    Sign-ins, which are limited by their rate, say themselves who tried.
    """
    try:
        response = await handle(request)
    except Unauthenticated:
        if hasattr(request.state, "audit_actor"):
            await _note(request, operation, permission, status=401)
        raise
    except (KintsugiError, HTTPException) as error:
        problem = problems.problem_of(error)
        lacking = isinstance(error, Forbidden)
        await _note_failure(request, operation, permission, problem, lacking=lacking)
        raise
    except Exception:
        await _note_failure(request, operation, permission, problems.unforeseen(""))
        raise
    await _note(request, operation, permission, status=response.status_code)
    return response


async def _note_failure(
    request: Request,
    operation: str,
    permission: Permission,
    problem: Problem,
    *,
    lacking: bool = False,
) -> None:
    try:
        await _note(
            request,
            operation,
            permission,
            status=problem.status,
            code=problem.code,
            lacking=lacking,
        )
    except KintsugiError as error:  # the caller learns what went wrong first
        log.error("audit.lost", operation=operation, error=str(error))


async def _note(
    request: Request,
    operation: str,
    permission: Permission,
    *,
    status: int,
    code: str = "",
    lacking: bool = False,
) -> None:
    actor = _actor_of(request)
    if actor is None:
        return
    control = request.app.state.control
    store: AuditStore = control.stores.audit
    now = control.clock()
    entry = AuditEntry(
        id=new_id(now),
        at=now,
        actor=actor,
        operation=operation,
        method=request.method,
        object=request.url.path[:OBJECT_CHARS_MAX],
        result="done" if status < 400 else "refused" if status < 500 else "failed",
        status=status,
        request_id=request_id_of(request),
        permission=permission.value if lacking else "",
        code=code,
        address=request.client.host if request.client else "",
        dry_run=request.query_params.get("dry_run", "").lower() in ("true", "1", "yes", "on"),
    )
    await run_in_threadpool(store.add, entry)


def _actor_of(request: Request) -> str | None:
    """Who; None where nobody was identified and nobody says who tried."""
    said: str | None = getattr(request.state, "audit_actor", None)
    if said is not None:
        return said
    caller: Token | None = getattr(request.state, "caller", None)
    return f"{caller.name}/{caller.id}" if caller is not None else None
