"""The control plane over HTTP, as the commands use it.

Answers come as plain JSON values: most commands show what the server said and nothing more, and
a field that a newer server adds must not break an older ``kt``. Commands that compute with an
answer convert the part they need.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

import httpx2
import msgspec

from kintsugi import __version__
from kintsugi.cli.settings import Settings
from kintsugi.errors import ApiRefused, ApiUnreachable

Params = Mapping[str, str | int | float]

_TIMEOUT = httpx2.Timeout(30.0, connect=5.0)
_PAGE_ROWS = 200


class Problem(msgspec.Struct, frozen=True):
    """RFC 9457 problem details, as the control plane sends them."""

    title: str = ""
    status: int = 0
    detail: str = ""
    code: str = ""
    errors: list[Any] = []


class Refusal(ApiRefused):
    """The control plane refused; ``problem`` says why, all reasons included."""

    def __init__(self, problem: Problem) -> None:
        lines = [problem.detail or problem.title or f"HTTP {problem.status}"]
        lines += [f"  {_reason(error)}" for error in problem.errors]
        super().__init__("\n".join(lines))
        self.problem = problem


class ServerEvent(msgspec.Struct, frozen=True):
    """One message of an event stream."""

    name: str
    data: str


class Client:
    """One connection to the control plane."""

    def __init__(self, settings: Settings, *, transport: httpx2.BaseTransport | None = None):
        headers = {"User-Agent": f"kt/{__version__}", "Accept": "application/json"}
        if settings.api_token:
            headers["Authorization"] = f"Bearer {settings.api_token}"
        self._url = settings.api_url
        self._has_token = bool(settings.api_token)
        # trust_env off: a proxy meant for the internet has no business with the control plane's
        # token, and on most machines it could not reach a local address anyway.
        self._http = httpx2.Client(
            base_url=settings.api_url,
            headers=headers,
            timeout=_TIMEOUT,
            transport=transport,
            trust_env=False,
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, params: Params | None = None) -> Any:
        """``data`` of one thing or of one page."""
        return self._call("GET", path, params=params)["data"]

    def page(self, path: str, params: Params | None = None) -> tuple[list[Any], dict[str, Any]]:
        """One page and its ``meta``."""
        body = self._call("GET", path, params=params)
        return body["data"], body.get("meta", {})

    def all(self, path: str, params: Params | None = None, *, limit: int | None) -> Iterator[Any]:
        """Rows over all pages, newest first, at most ``limit`` of them; None is all."""
        left = limit
        query = dict(params or {})
        while left is None or left > 0:
            query["limit"] = _PAGE_ROWS if left is None else min(left, _PAGE_ROWS)
            rows, meta = self.page(path, query)
            yield from rows
            left = None if left is None else left - len(rows)
            cursor = meta.get("next_cursor")
            if not cursor or not rows:
                return
            query["cursor"] = cursor

    def post(self, path: str, body: Any = None, *, timeout_seconds: float | None = None) -> Any:
        """``data`` of the answer; None when it has no body."""
        return self._call("POST", path, body=body, timeout_seconds=timeout_seconds).get("data")

    def put(
        self, path: str, body: Any, *, params: Params | None = None, if_match: str = ""
    ) -> dict[str, Any]:
        """The whole answer: ``data`` and what stands beside it."""
        headers = {"If-Match": if_match} if if_match else {}
        return self._call("PUT", path, params=params, body=body, headers=headers)

    def delete(self, path: str) -> Any:
        """``data`` of the answer; None when it has no body."""
        return self._call("DELETE", path).get("data")

    def events(self, path: str, params: Params | None = None) -> Iterator[ServerEvent]:
        """Messages of a server-sent event stream until the server ends it."""
        # A quiet stream is normal; the heartbeat every ten seconds proves that it lives.
        timeout = httpx2.Timeout(30.0, connect=5.0, read=30.0)
        headers = {"Accept": "text/event-stream"}
        with (
            self._reaching(),
            self._http.stream(
                "GET", path, params=dict(params or {}), headers=headers, timeout=timeout
            ) as response,
        ):
            self._raise_for(response)
            for message in httpx2.EventSource(response):
                yield ServerEvent(message.event, message.data)

    def download(self, path: str, into: IO[bytes], progress: Callable[[int], None]) -> str:
        """Stream a file to ``into``; its SHA-256 in hex. ``progress`` gets the bytes so far."""
        digest = hashlib.sha256()
        written = 0
        with self._reaching(), self._http.stream("GET", path) as response:
            self._raise_for(response)
            for chunk in response.iter_bytes():
                into.write(chunk)
                digest.update(chunk)
                written += len(chunk)
                progress(written)
        return digest.hexdigest()

    def _call(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> dict[str, Any]:
        sent = dict(headers or {})
        content = None
        if body is not None:
            sent["Content-Type"] = "application/json"
            content = msgspec.json.encode(body)
        with self._reaching():
            response = self._http.request(
                method,
                path,
                params=dict(params or {}),
                content=content,
                headers=sent,
                timeout=_TIMEOUT if timeout_seconds is None else timeout_seconds,
            )
            self._raise_for(response)
            if not response.content:
                return {}
            try:
                answer = msgspec.json.decode(response.content)
            except msgspec.DecodeError as error:
                raise ApiUnreachable(
                    f"what answers at {self._url} is not a Kintsugi control plane"
                ) from error
        return answer if isinstance(answer, dict) else {"data": answer}

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except httpx2.TimeoutException as error:
            raise ApiUnreachable(f"the control plane at {self._url} did not answer in time") from (
                error
            )
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            raise ApiUnreachable(
                f"no control plane answers at {self._url} ({error}); start one with `kt up`, or "
                "name another with --api-url or KT_API_URL"
            ) from error

    def _raise_for(self, response: httpx2.Response) -> None:
        if response.is_success:
            return
        response.read()
        try:
            problem = msgspec.json.decode(response.content, type=Problem)
        except (msgspec.DecodeError, msgspec.ValidationError):
            problem = Problem(title=f"HTTP {response.status_code} from {self._url}")
        problem = msgspec.structs.replace(problem, status=response.status_code)
        if response.status_code == httpx2.codes.UNAUTHORIZED and not self._has_token:
            problem = msgspec.structs.replace(
                problem,
                detail="no token is known here; set KT_API_TOKEN, or run where "
                "STATE/admin-token can be read (--state DIR)",
            )
        raise Refusal(problem)


def _reason(error: Any) -> str:
    """One of several things in the way, on one line: a diagnostic, or whatever was sent."""
    if not isinstance(error, dict):
        return str(error)
    position = error.get("position") or {}
    place = ":".join(
        str(part)
        for part in (error.get("file"), position.get("line"), position.get("column"))
        if part
    )
    words = [place + ":" if place else "", str(error.get("code", "")), str(error.get("path", ""))]
    message = str(error.get("message") or error.get("detail") or error.get("msg") or "")
    hint = f" ({error['help']})" if error.get("help") else ""
    return " ".join(word for word in [*words, message] if word) + hint
