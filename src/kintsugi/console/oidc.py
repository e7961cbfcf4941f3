"""Sign-in at an OpenID provider: authorization code with PKCE (OpenID Connect Core 1.0, RFC 7636,
RFC 9700). What is sent and what comes back; sessions and people stand in ``signing_in``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import httpx2
import msgspec
import structlog
from authlib.common.security import generate_token
from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from kintsugi.console.oidc_settings import OidcSettings, private_enough
from kintsugi.errors import Forbidden, StoreUnavailable

log = structlog.get_logger(__name__)

# Signatures by keys that only the provider has: no "none", and none that share our secret.
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384")
_TIMEOUT = httpx2.Timeout(10.0)
_ANSWER_BYTES_MAX = 1_000_000
_METADATA_LIFETIME = timedelta(hours=1)
_KEYS_AGAIN_AFTER = timedelta(minutes=1)
_LEEWAY_SECONDS = 60


class ProviderUnavailable(StoreUnavailable):
    """The OpenID provider does not answer as it should; try again, or use a token."""

    code = "auth.provider_unavailable"


class Departure(msgspec.Struct, frozen=True):
    """A browser to be sent to the provider, and what its return is held against."""

    address: str
    state: str
    nonce: str
    verifier: str


class _Metadata(msgspec.Struct, frozen=True):
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str = ""


class Provider:
    """One OpenID provider. Its metadata is read when first needed, and its keys again when a token
    names one that is not known: providers change them.

    Args:
        secret: of the client; empty for a public one.
        http: follows no redirect.
    """

    def __init__(
        self,
        settings: OidcSettings,
        secret: str,
        clock: Callable[[], datetime],
        http: httpx2.Client | None = None,
    ) -> None:
        self.settings = settings
        self._secret = secret
        self._clock = clock
        self._http = http or httpx2.Client(timeout=_TIMEOUT, follow_redirects=False)
        self._lock = threading.Lock()
        self._metadata: tuple[_Metadata, datetime] | None = None
        self._keys: tuple[KeySet, datetime] | None = None

    def departure(self) -> Departure:
        """Where to send a browser, with secrets made for this one sign-in."""
        state, nonce, verifier = (generate_token(48) for _ in range(3))
        address = prepare_grant_uri(
            self._about().authorization_endpoint,
            client_id=self.settings.client_id,
            response_type="code",
            redirect_uri=self.settings.callback_url,
            scope=" ".join(self.settings.scopes),
            state=state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
        )
        return Departure(address, state, nonce, verifier)

    def sign_out_address(self) -> str:
        """Where a browser ends its session at the provider too (OpenID Connect RP-Initiated Logout
        1.0), and comes back from; empty where the provider or the settings have none.

        The provider is told the client and no ``id_token_hint``: that would mean to keep what it
        once said of a person. It may ask the person to confirm.

        Raises:
            ProviderUnavailable: it does not answer as it should.
        """
        endpoint = self._about().end_session_endpoint
        if not self.settings.sign_out_at_provider or not private_enough(endpoint):
            return ""
        query = [
            ("client_id", self.settings.client_id),
            ("post_logout_redirect_uri", self.settings.signed_out_url),
        ]
        return str(add_params_to_uri(endpoint, query))

    def claims(self, code: str, *, verifier: str, nonce: str) -> Mapping[str, Any]:
        """What the provider vouches for, in exchange for a code.

        Raises:
            Forbidden: it vouches for nothing, or not for this sign-in.
            ProviderUnavailable: it does not answer as it should.
        """
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.settings.callback_url,
            "code_verifier": verifier,
        }
        basic = httpx2.BasicAuth(self.settings.client_id, self._secret) if self._secret else None
        if basic is None:
            form["client_id"] = self.settings.client_id
        answer = self._ask("POST", self._about().token_endpoint, data=form, auth=basic)
        if not isinstance(token := answer.get("id_token"), str):
            log.warning("oidc.refused", error=str(answer.get("error", "no id_token"))[:100])
            raise Forbidden("The provider did not confirm this sign-in; begin again.")
        return self._verified(token, nonce=nonce, access_token=answer.get("access_token"))

    def _verified(self, text: str, *, nonce: str, access_token: Any) -> Mapping[str, Any]:
        try:
            token = self._decoded(text)
            claims = CodeIDToken(
                token.claims,
                token.header,
                options={
                    "iss": {"essential": True, "value": self.settings.issuer},
                    "aud": {"essential": True, "value": self.settings.client_id},
                    "nonce": {"essential": True, "value": nonce},
                    "sub": {"essential": True},
                },
                params={
                    "nonce": nonce,
                    "client_id": self.settings.client_id,
                    "access_token": access_token,
                },
            )
            claims.validate(now=int(self._clock().timestamp()), leeway=_LEEWAY_SECONDS)
        except (JoseError, ValueError, TypeError) as error:
            log.warning("oidc.token_refused", error=str(error)[:200])
            raise Forbidden(
                "What the provider says cannot be relied on; begin again, and tell an "
                "administrator if it stays so."
            ) from None
        return dict(claims)

    def _decoded(self, text: str) -> jwt.Token:
        """Verified with the provider's keys as they are known, else as they are now."""
        keys, read_at = self._known_keys(again=False)
        try:
            return jwt.decode(text, keys, algorithms=ALGORITHMS)
        except (JoseError, ValueError):
            # Not for every bad token: nobody makes us ask the provider all the time.
            if self._clock() - read_at < _KEYS_AGAIN_AFTER:
                raise
        keys, _ = self._known_keys(again=True)
        return jwt.decode(text, keys, algorithms=ALGORITHMS)

    def _known_keys(self, *, again: bool) -> tuple[KeySet, datetime]:
        with self._lock:
            if self._keys is None or again:
                now = self._clock()
                found = self._ask("GET", self._about().jwks_uri)
                try:
                    keys = KeySet.import_key_set(found)  # type: ignore[arg-type]
                except (JoseError, ValueError, KeyError, TypeError) as error:
                    raise ProviderUnavailable(
                        f"The provider's keys cannot be read: {error}"
                    ) from None
                self._keys = (keys, now)
            return self._keys

    def _about(self) -> _Metadata:
        now = self._clock()
        if self._metadata is None or now - self._metadata[1] >= _METADATA_LIFETIME:
            issuer = self.settings.issuer
            address = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
            try:
                found = msgspec.convert(self._ask("GET", address), _Metadata)
            except msgspec.ValidationError as error:
                raise ProviderUnavailable(f"{address}: {error}") from None
            if found.issuer != issuer:
                raise ProviderUnavailable(
                    f'{address} is of "{found.issuer}", not of "{issuer}"; write the issuer into '
                    "the file exactly as it names itself"
                )
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                if not private_enough(getattr(found, name)):
                    raise ProviderUnavailable(f"{address}: {name} is no https address")
            self._metadata = (found, now)
        return self._metadata[0]

    def _ask(self, method: str, address: str, **options: Any) -> dict[str, Any]:
        headers = {"accept": "application/json"}
        try:
            with self._http.stream(method, address, headers=headers, **options) as answer:
                body = b""
                for piece in answer.iter_bytes():
                    body += piece
                    if len(body) > _ANSWER_BYTES_MAX:
                        raise ProviderUnavailable(f"{address} answers with too much")
                status = answer.status_code
            found = msgspec.json.decode(body)
        except (httpx2.HTTPError, msgspec.DecodeError) as error:
            raise ProviderUnavailable(f"{address} cannot be read: {error}") from None
        if status >= 500 or not isinstance(found, dict) or 300 <= status < 400:
            raise ProviderUnavailable(f"{address} answers {status}")
        return found
