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
_DRY_RUN: Mapping[str, str] = {"dry_run": "true"}


class ProblemPart(msgspec.Struct, frozen=True):
    """One of several things that stand in the way."""

    where: str = ""
    code: str = ""
    message: str = ""
    help: str = ""


class Problem(msgspec.Struct, frozen=True):
    """RFC 9457 problem details, as the control plane sends them."""

    title: str = ""
    detail: str = ""
    code: str = ""
    errors: tuple[ProblemPart, ...] = ()


class ServerEvent(msgspec.Struct, frozen=True):
    """One message of an event stream."""

    name: str
    data: str
    id: str


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
        """``data`` of one thing, or of a list without pages."""
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

    def post(
        self,
        path: str,
        body: Any = None,
        *,
        dry_run: bool = False,
        timeout_seconds: float | None = None,
    ) -> Any:
        """``data`` of the answer."""
        params = _DRY_RUN if dry_run else None
        return self._call("POST", path, params=params, body=body, timeout_seconds=timeout_seconds)[
            "data"
        ]

    def post_bytes(
        self, path: str, content: bytes, media_type: str, *, dry_run: bool = False
    ) -> Any:
        """``data`` of the answer to a body that is no JSON of ours."""
        with self._reaching():
            response = self._http.request(
                "POST",
                path,
                params=_DRY_RUN if dry_run else None,
                content=content,
                headers={"Content-Type": media_type},
            )
            self._raise_for(response)
        return msgspec.json.decode(response.content)["data"]

    def put(
        self, path: str, body: Any, *, dry_run: bool = False, version: int | None = None
    ) -> Any:
        """``data`` of the answer; with a version, only where the newest one is still that."""
        params = _DRY_RUN if dry_run else None
        return self._call("PUT", path, params=params, body=body, version=version)["data"]

    @contextmanager
    def events(
        self, path: str, params: Params | None = None, *, after: str = ""
    ) -> Iterator[Iterator[ServerEvent]]:
        """Messages of a server-sent event stream, until the server ends it.

        Entered once the server has taken up its position: whatever is stored from then on comes.

        Args:
            after: ``id`` of the last message that was seen, to go on behind it.
        """
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
        # A quiet stream is normal; the heartbeat every ten seconds proves that it lives.
        timeout = httpx2.Timeout(30.0, connect=5.0)
        query = dict(params or {})
        with (
            self._reaching(),
            self._http.stream("GET", path, params=query, headers=headers, timeout=timeout) as got,
        ):
            self._raise_for(got)
            lines = got.iter_lines()
            next(lines, None)  # the first heartbeat
            yield _messages(lines)

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
        timeout_seconds: float | None = None,
        version: int | None = None,
    ) -> dict[str, Any]:
        has_body = body is not None
        headers = {"Content-Type": "application/json"} if has_body else {}
        if version is not None:
            headers["If-Match"] = f'"{version}"'
        with self._reaching():
            response = self._http.request(
                method,
                path,
                params=dict(params or {}),
                content=msgspec.json.encode(body) if has_body else None,
                headers=headers,
                timeout=_TIMEOUT if timeout_seconds is None else timeout_seconds,
            )
            self._raise_for(response)
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
            raise ApiUnreachable(f"no control plane answers at {self._url} ({error})") from error

    def _raise_for(self, response: httpx2.Response) -> None:
        if response.is_success:
            return
        response.read()
        try:
            problem = msgspec.json.decode(response.content, type=Problem)
        except (msgspec.DecodeError, msgspec.ValidationError):
            problem = Problem(title=f"HTTP {response.status_code} from {self._url}")
        if response.status_code == httpx2.codes.UNAUTHORIZED and not self._has_token:
            problem = Problem(detail="no token is known here")
        raise ApiRefused(
            "\n".join([problem.detail or problem.title, *map(_reason, problem.errors)]),
            status=response.status_code,
            problem_code=problem.code,
        )


def _messages(lines: Iterator[str]) -> Iterator[ServerEvent]:
    """Server-sent events from their lines (WHATWG HTML §9.2)."""
    name, identifier, data = "message", "", list[str]()
    for line in lines:
        if not line:
            if data:
                yield ServerEvent(name, "\n".join(data), identifier)
            name, data = "message", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                name = value
            case "data":
                data.append(value)
            case "id":
                identifier = value


def _reason(error: ProblemPart) -> str:
    """One of several things in the way, on one line."""
    words = (f"{error.where}:" if error.where else "", error.code, error.message)
    hint = f" ({error.help})" if error.help else ""
    return "  " + " ".join(filter(None, words)) + hint
