"""A small OpenID provider for tests: real keys, real tokens, real HTTP on a free port; and every
way of being wrong that a test asks for."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from tests.control_plane import NOON


class TestProvider:
    """Vouches for whoever asks.

    Attributes:
        wrong: claims, or whole answers, to give instead of the right ones.
        asked: how often each path was asked for.
    """

    __test__ = False

    def __init__(self) -> None:
        self.issuer = ""
        self.keys: list[Any] = [ECKey.generate_key("P-256", {"kid": "k1", "use": "sig"})]
        self.person: dict[str, Any] = {"sub": "42", "preferred_username": "ana"}
        self.wrong: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        self.header: dict[str, Any] = {}
        self.signing_key: Any = None
        self.asked: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}

    def rotate(self) -> None:
        """Sign with a new key from now on; the old one is gone."""
        self.keys = [ECKey.generate_key("P-256", {"kid": f"k{len(self.asked)}", "use": "sig"})]

    def authorise(self, address: str) -> dict[str, str]:
        """What the provider sends the browser back with."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        code = f"code-{len(self._codes)}"
        self._codes[code] = query
        return {"code": code, "state": query["state"], "iss": self.issuer}

    def answer(self, method: str, path: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """One request."""
        self.asked.append(path)
        if path == "/.well-known/openid-configuration":
            return 200, {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                **self.metadata,
            }
        if path == "/keys":
            return 200, KeySet(self.keys).as_dict(private=False)  # type: ignore[return-value]
        asked = self._codes.pop(form.get("code", ""), None)
        proven = create_s256_code_challenge(form.get("code_verifier", ""))
        if method != "POST" or asked is None or proven != asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        if asked["redirect_uri"] != form["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        return 200, {"access_token": "at", "token_type": "Bearer", "id_token": self._token(asked)}

    def _token(self, asked: dict[str, str]) -> str:
        now = int(NOON.timestamp())
        claims = {
            "iss": self.issuer,
            "aud": asked["client_id"],
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            **self.person,
            **self.wrong,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": "ES256", "kid": self.keys[0].kid, **self.header}
        key = self.signing_key or self.keys[0]
        return jwt.encode(header, claims, key, algorithms=[header["alg"]])


@contextmanager
def serving(provider: TestProvider) -> Iterator[str]:
    """The provider on a free port; its issuer."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            form = parse_qs(self.rfile.read(length).decode())
            plain = {name: values[0] for name, values in form.items()}
            status, body = provider.answer(self.command, urlsplit(self.path).path, plain)
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _answer  # noqa: N815 - the base class's names

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    provider.issuer = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield provider.issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
