"""Every error as RFC 9457 problem details; the only place that knows HTTP statuses.

Each error of ours has one status, and ``tests/api/test_problems.py`` keeps the table complete. What
nobody foresaw is answered with a reference: the caller gets the reference, the log the details.
"""

from __future__ import annotations

import difflib
import http
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from kintsugi import errors
from kintsugi.model.config import Diagnostic

MEDIA_TYPE = "application/problem+json"

HTTP_STATUS: Mapping[type[errors.KintsugiError], int] = {
    errors.KintsugiError: 500,
    errors.ConfigurationInvalid: 422,
    errors.NotFound: 404,
    errors.Expired: 410,
    # Only a request with If-Match can meet it (RFC 9110 §13.1.1).
    errors.VersionConflict: 412,
    errors.StateConflict: 409,
    errors.Blocked: 409,
    errors.NotStoredYet: 409,
    errors.IdempotencyMismatch: 422,
    errors.InvalidInput: 422,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.TooManyAttempts: 429,
    errors.EvidenceUnavailable: 503,
    errors.ProofInvalid: 422,
    errors.KeyUnavailable: 503,
    errors.StoreUnavailable: 503,
    errors.DatabaseUnusable: 503,
    errors.ArchiveUnavailable: 503,
    errors.ArchiveDamaged: 503,
    errors.QueryRefused: 422,
    errors.ApiUnreachable: 502,
    errors.ApiRefused: 502,
}

_CODES = {
    400: "request.malformed",
    404: "route.unknown",
    405: "method.not_allowed",
    413: "body.too_large",
    415: "media_type.unsupported",
    416: "range.not_satisfiable",
}


class FieldError(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing wrong with a request, or with the configuration in it.

    Attributes:
        where: ``query.verdict``, ``body.filter.since``, ``body line 3``; empty for diagnostics.
        diagnostic: for configurations, with file, line and column.
    """

    where: str
    message: str
    code: str = ""
    help: str = ""
    diagnostic: Diagnostic | None = None


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """RFC 9457 problem details.

    Attributes:
        type: ``urn:kintsugi:problem:`` and the code.
        code: stable; programs compare this one.
        errors: everything that stands in the way, where it is more than the detail says.
        reference: for unforeseen errors; the log has the same one beside the details.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: tuple[FieldError, ...] = ()
    reference: str = ""


class Invalid(errors.InvalidInput):
    """Several things are wrong with the request; ``found`` lists them all."""

    def __init__(self, found: Sequence[FieldError]) -> None:
        self.found = tuple(found)
        first = self.found[0]
        more = f" (and {len(self.found) - 1} more)" if len(self.found) > 1 else ""
        super().__init__(f"{first.where}: {first.message}{more}")


def status_of(error: errors.KintsugiError) -> int:
    """The HTTP status of an error: its own, or that of the nearest class above it."""
    return next(HTTP_STATUS[kind] for kind in type(error).__mro__ if kind in HTTP_STATUS)


def problem_of(error: Exception) -> Problem:
    """Describe an error that was raised on purpose."""
    if isinstance(error, HTTPException):
        code = _CODES.get(error.status_code, "http.error")
        return _problem(error.status_code, code, str(error.detail))
    if isinstance(error, errors.KintsugiError):
        return _problem(status_of(error), error.code, str(error), _details(error))
    raise error


def unforeseen(reference: str) -> Problem:
    """What the caller learns of an error that nobody foresaw."""
    detail = f"An unforeseen error; the server's log has the details under {reference}."
    return msgspec.structs.replace(_problem(500, "internal", detail), reference=reference)


def answer(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The problem on the wire."""
    extra = dict(headers or {})
    if problem.status == 401:
        extra.setdefault("www-authenticate", 'Bearer realm="kintsugi"')
    if problem.status == 503:
        extra.setdefault("retry-after", "1")
    return Response(
        msgspec.json.encode(problem),
        status_code=problem.status,
        headers=extra,
        media_type=MEDIA_TYPE,
    )


RENDER = "kintsugi.render"
"""Where a route says, in its request's scope, that its protocol has errors of its own."""

Render = Callable[[Request, Problem], Response | None]
"""Shows a problem to a reader who wants something else than JSON; None where that is not so."""


def install(app: FastAPI, render: Render | None) -> None:
    """Answer every error of ``app`` that was raised on purpose with its problem."""
    app.state.render_problem = render

    async def handle(request: Request, error: Exception) -> Response:
        headers = getattr(error, "headers", None)
        if isinstance(error, errors.TooManyAttempts):
            headers = {"retry-after": str(error.retry_after_seconds)}
        return show(request, problem_of(error), headers)

    for kind in (errors.KintsugiError, HTTPException):
        app.add_exception_handler(kind, handle)


def show(request: Request, problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The problem in the form that the reader wants."""
    render: Render | None = request.scope.get(RENDER) or request.app.state.render_problem
    shown = render(request, problem) if render else None
    if shown is None:
        return answer(problem, headers)
    shown.headers.update(headers or {})
    return shown


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """``did you mean "since"?``, or the whole list where nothing is near."""
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f'did you mean "{near[0]}"?'
    return f"known: {', '.join(known)}" if known else "there are none here"


def _problem(status: int, code: str, detail: str, found: tuple[FieldError, ...] = ()) -> Problem:
    return Problem(
        type=f"urn:kintsugi:problem:{code}",
        title=http.HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
        errors=found,
    )


def _details(error: errors.KintsugiError) -> tuple[FieldError, ...]:
    if isinstance(error, Invalid):
        return error.found
    if isinstance(error, errors.Blocked):
        return tuple(
            FieldError(one.where, one.message, one.code, one.help) for one in error.blockers
        )
    if isinstance(error, errors.ConfigurationInvalid):
        return tuple(
            FieldError(
                where=f"{found.file}:{found.position.line}:{found.position.column}",
                message=found.message,
                code=found.code,
                help=found.help,
                diagnostic=found,
            )
            for found in error.diagnostics
        )
    return ()


def field_errors(
    error: RequestValidationError, models: Mapping[str, Sequence[type[BaseModel]]]
) -> list[FieldError]:
    """Everything that a request model refused, with the nearest known name for unknown ones."""
    return [_field_error(found, models) for found in error.errors() if not _of_nothing(found)]


def _of_nothing(found: Mapping[str, Any]) -> bool:
    """Whether it only says that a word is not the empty one, which stands for none: what it could
    have been is said beside it."""
    return bool(found["type"] == "literal_error" and found["ctx"]["expected"] == "''")


def _field_error(
    found: Mapping[str, Any], models: Mapping[str, Sequence[type[BaseModel]]]
) -> FieldError:
    place = tuple(str(step) for step in found["loc"])
    if found["type"] == "literal_error" and place[-1].startswith("literal["):
        place = place[:-1]  # which of several lists of words it is not in tells nobody anything
    where = ".".join(place)
    if found["type"] == "extra_forbidden":
        known = _known_names(models.get(place[0], ()), place[1:-1])
        return FieldError(
            where,
            "unknown parameter" if place[0] == "query" else "unknown field",
            code="input.unknown",
            help=did_you_mean(place[-1], known),
        )
    if found["type"] == "missing" and place == ("body",):
        return FieldError(where, "a JSON body is needed", code="input.missing")
    message = str(found["msg"]).removeprefix("Value error, ")
    return FieldError(where, message, code=f"input.{found['type']}")


def _known_names(models: Sequence[type[BaseModel]], path: Sequence[str]) -> list[str]:
    """Field names of the model at ``path`` below ``models``."""
    for step in path:
        inner = [
            model.model_fields[step].annotation for model in models if step in model.model_fields
        ]
        models = [kind for kind in inner if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return [name for model in models for name in model.model_fields]
