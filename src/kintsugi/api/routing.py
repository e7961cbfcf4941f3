"""Routes that cannot be declared without saying who may use them.

Every request to a :class:`GuardedRoute` passes the same steps in the same order: the body is read
within its limit and checked, the caller is identified and authorised, an ``Idempotency-Key`` is
honoured, and only then does the handler run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any

import msgspec
from fastapi import Depends, FastAPI, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.responses import Response

from kintsugi.api import problems
from kintsugi.api.auditing import request_id_of, written_down
from kintsugi.api.auth import authorise
from kintsugi.api.control import Control
from kintsugi.api.hygiene import decode_json, read_body
from kintsugi.api.idempotency import KEY_CHARS_MAX
from kintsugi.api.permissions import MACHINE_SCOPES, Access, Permission, Scope
from kintsugi.model.tokens import Token

BODY_BYTES_MAX = 2 * 1024 * 1024

Identify = Callable[[Request, Control], Awaitable[Token]]


class NoParameters(BaseModel):
    """For routes without query parameters, so that a mistyped one is refused there too."""

    model_config = ConfigDict(extra="forbid")


async def _no_parameters(_: Annotated[NoParameters, Query()]) -> None:
    return None


async def bearer(request: Request, control: Control) -> Token:
    """Identify the caller by ``Authorization: Bearer``. Cookies never count for the API."""
    return await control.authenticator.bearer(request.headers.get("authorization", ""))


class _CheckedRequest(Request):
    """A request whose body was read within its limit and checked before anyone uses it."""

    checked_body: bytes
    checked_json: Any

    async def body(self) -> bytes:
        return self.checked_body

    async def json(self) -> Any:
        return self.checked_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What stands before a handler.

    Attributes:
        permission: who may pass.
        json_body: decode and check the body as JSON; False for handlers that read raw bytes.
        render: shows errors as the route's own protocol wants them.
        audited: what becomes of each request is written to the audit log.
    """

    permission: Permission
    identify: Identify = bearer
    body_bytes_max: int = BODY_BYTES_MAX
    json_body: bool = True
    render: problems.Render | None = None
    audited: bool = False


class GuardedRoute(APIRoute):
    """A route behind a :class:`Guard`.

    Raises:
        TypeError: at start, when no guard with a permission is given.
    """

    def __init__(
        self, path: str, endpoint: Callable[..., Any], *, guard: Guard, **options: Any
    ) -> None:
        if not isinstance(guard.permission, Scope | Access):
            raise TypeError(f"{path}: a route must declare its permission")
        self.guard = guard
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler behind its guard."""
        handle = super().get_route_handler()
        guard = self.guard
        models = {
            "query": _models(_query_params(self.dependant)),
            "body": _models(self.dependant.body_params),
        }

        async def answer_or_explain(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                raise problems.Invalid(problems.field_errors(error, models)) from None

        async def admitted(raw: Request) -> Response:
            control: Control = raw.app.state.control
            if guard.permission is not Access.PUBLIC:
                raw.state.caller = await guard.identify(raw, control)
                authorise(raw.state.caller, guard.permission)
            request = _CheckedRequest(raw.scope, raw.receive)
            request.checked_body = await read_body(raw, bytes_max=guard.body_bytes_max)
            request.checked_json = None
            if guard.json_body and request.checked_body:
                _require_json(raw)
                request.checked_json = decode_json(request.checked_body)
            key = raw.headers.get("idempotency-key")
            if key is None or raw.method != "POST" or guard.permission is Access.PUBLIC:
                return await answer_or_explain(request)
            return await control.idempotency.once(request, key, answer_or_explain)

        async def guarded(raw: Request) -> Response:
            raw.scope["kintsugi.route"] = self.path
            raw.scope[problems.RENDER] = guard.render
            request_id_of(raw)
            if not guard.audited:
                return await admitted(raw)
            return await written_down(
                raw, admitted, operation=self.name, permission=guard.permission
            )

        return guarded


@dataclass(slots=True)
class Routes:
    """Collects the routes of one resource; :meth:`install` puts them on the application.

    Attributes:
        identify: how callers are identified: by token here, by session in the console.
        documented: whether the OpenAPI document shows these routes.
    """

    tag: str
    identify: Identify = bearer
    documented: bool = True
    _declared: list[Callable[[], GuardedRoute]] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)

    def add(
        self,
        method: str,
        path: str,
        permission: Permission,
        *,
        answer: Any = None,
        status: int = 200,
        dry_run: Any = None,
        media_types: Sequence[str] = ("application/json",),
        takes: Any = None,
        parameters: bool = False,
        raw_body: bool = False,
        body_bytes_max: int = BODY_BYTES_MAX,
        render: problems.Render | None = None,
        audited: bool | None = None,
        extra: dict[str, Any] | None = None,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare a route.

        Args:
            answer: type of the answer's body, documented from our own vocabulary.
            dry_run: the same of the 200 that a dry run gets, where ``status`` is another one.
            media_types: of the answer.
            takes: type of a body that the handler decodes itself.
            parameters: the handler has a query model; without one, any parameter is refused.
            raw_body: the handler reads the bytes itself.
            render: shows errors as the route's own protocol wants them.
            audited: whether each request leaves an entry in the audit log; when None, all that
                may change something do, but for what machines send at a high rate.
        """
        if answer is not None:
            self.answers.append(answer)
        if takes is not None:
            self.answers.append(takes)
        documented: dict[int | str, dict[str, Any]] = {status: _documented(answer, media_types)}
        if dry_run is not None:
            self.answers.append(dry_run)
            documented[200] = _documented(dry_run, media_types)
        documented["default"] = {"description": "What went wrong.", "content": _PROBLEM}

        def declare(endpoint: Callable[..., Any]) -> Callable[..., Any]:
            @cache  # reading types takes FastAPI a millisecond; nothing in it is one application's
            def route() -> GuardedRoute:
                return GuardedRoute(
                    path,
                    endpoint,
                    guard=Guard(
                        permission=permission,
                        identify=self.identify,
                        body_bytes_max=body_bytes_max,
                        json_body=not raw_body,
                        render=render,
                        audited=(
                            method != "GET"
                            and permission is not Access.PUBLIC
                            and permission not in MACHINE_SCOPES
                            if audited is None
                            else audited
                        ),
                    ),
                    methods=[method],
                    tags=[self.tag],
                    include_in_schema=self.documented,
                    status_code=status,
                    response_model=None,
                    operation_id=endpoint.__name__,
                    dependencies=[] if parameters else [Depends(_no_parameters)],
                    responses=documented,
                    openapi_extra=_openapi_extra(method, permission, takes, extra),
                )

            self._declared.append(route)
            return endpoint

        return declare

    def install(self, app: FastAPI) -> None:
        """Put every declared route on ``app``, in order."""
        app.router.routes.extend(route() for route in self._declared)


_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}

_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key with the same body gets the first answer again, for a day.",
    "schema": {
        "type": "string",
        "pattern": "^[!-~]+$",
        "minLength": 1,
        "maxLength": KEY_CHARS_MAX,
    },
}


def _documented(answer: Any, media_types: Sequence[str]) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    if answer is not None:
        (schema,), _ = msgspec.json.schema_components(
            [answer], ref_template="#/components/schemas/{name}"
        )
    return {
        "description": "Done.",
        "content": {media_type: {"schema": schema} for media_type in media_types},
    }


def _openapi_extra(
    method: str, permission: Permission, takes: Any, extra: dict[str, Any] | None
) -> dict[str, Any]:
    documented: dict[str, Any] = {"x-kt-permission": permission.value}
    documented["security"] = [] if permission is Access.PUBLIC else [{"token": []}]
    if method == "POST" and permission is not Access.PUBLIC:
        documented["parameters"] = [_IDEMPOTENCY_KEY]
    if takes is not None:
        (schema,), _ = msgspec.json.schema_components(
            [takes], ref_template="#/components/schemas/{name}"
        )
        documented["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    documented.update(extra or {})
    return documented


def _require_json(request: Request) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise HTTPException(415, f'Send the body as application/json, not "{media_type}".')


def _query_params(dependant: Dependant) -> list[Any]:
    """A handler's own, and those of what it depends on."""
    inner = (each for needed in dependant.dependencies for each in _query_params(needed))
    return [*dependant.query_params, *inner]


def _models(parameters: Sequence[Any]) -> list[type[BaseModel]]:
    kinds = (parameter.field_info.annotation for parameter in parameters)
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
