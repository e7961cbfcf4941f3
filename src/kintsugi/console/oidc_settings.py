"""``oidc.yaml``: which OpenID provider vouches for people, and what its groups may do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from kintsugi.api.permissions import Role
from kintsugi.errors import InvalidInput

FILE: Final = "oidc.yaml"
CALLBACK: Final = "/sign-in/oidc/callback"
SIGNED_OUT: Final = "/sign-in"


class SecretSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the client's secret is: a variable of the environment, or a file. Never here."""

    env: str = ""
    file: str = ""


class OidcSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One provider.

    Attributes:
        issuer: exactly as the provider names itself.
        public_url: how browsers reach this console; the provider sends them back there.
        client_secret: left out for a public client, which PKCE alone protects.
        name_claim: what becomes the person's name at the first sign-in.
        roles_claim: with groups of the provider; ``roles`` says which roles each of them gives.
            The provider then decides at every sign-in; without, roles are given here.
        default_roles: of whoever signs in for the first time.
        sign_out_at_provider: signing out here signs out there, where the provider offers that.
    """

    issuer: str
    client_id: str
    public_url: str
    client_secret: SecretSource | None = None
    label: str = "your organisation"
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    name_claim: str = "preferred_username"
    roles_claim: str = ""
    roles: dict[str, tuple[str, ...]] = {}
    default_roles: tuple[str, ...] = ()
    sign_out_at_provider: bool = True

    @property
    def signed_out_url(self) -> str:
        """Where the provider sends people after they signed out there; registered there."""
        return self.public_url.rstrip("/") + SIGNED_OUT

    @property
    def callback_url(self) -> str:
        """Where the provider sends people back to; registered there."""
        return self.public_url.rstrip("/") + CALLBACK

    def roles_of(self, claims: Mapping[str, Any]) -> tuple[str, ...] | None:
        """What the provider says that a person may do here; None where it does not decide."""
        if not self.roles_claim:
            return None
        groups = claims.get(self.roles_claim) or ()
        named = [groups] if isinstance(groups, str) else groups
        found = {
            role
            for group in (named if isinstance(named, list | tuple) else ())
            if isinstance(group, str)
            for role in self.roles.get(group, ())
        }
        return tuple(role.value for role in Role if role.value in found)


def read_oidc_settings(state: Path, environ: Mapping[str, str]) -> OidcSettings | None:
    """The file that ``KT_OIDC_FILE`` names, else ``oidc.yaml`` in the state folder; None where
    there is none.

    Raises:
        InvalidInput: it cannot be used; with what is wrong.
    """
    named = environ.get("KT_OIDC_FILE", "")
    path = Path(named) if named else state / FILE
    if not named and not path.exists():
        return None
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        settings = msgspec.convert(content, OidcSettings)
    except (OSError, UnicodeDecodeError, YAMLError, msgspec.ValidationError) as error:
        raise InvalidInput(f"{path}: {error}") from None
    if wrong := _wrong(settings):
        raise InvalidInput(f"{path}: {'; '.join(wrong)}")
    return settings


def client_secret(settings: OidcSettings, environ: Mapping[str, str]) -> str:
    """The secret; empty for a public client.

    Raises:
        InvalidInput: it is not where the file says.
    """
    source = settings.client_secret
    if source is None:
        return ""
    found = environ.get(source.env, "") if source.env else ""
    if source.file:
        try:
            found = Path(source.file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise InvalidInput(f"client_secret.file: {error}") from None
    if not found:
        where = f"the variable {source.env}" if source.env else f"the file {source.file}"
        raise InvalidInput(f"client_secret: there is nothing in {where}")
    return found


def private_enough(url: str) -> bool:
    """HTTPS, or plain HTTP on this very machine."""
    parts = urlsplit(url)
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and local))


def _wrong(settings: OidcSettings) -> list[str]:
    known = {role.value for role in Role}
    named = {*settings.default_roles, *(one for each in settings.roles.values() for one in each)}
    found = [
        f"{name}: use an https address"
        for name in ("issuer", "public_url")
        if not private_enough(getattr(settings, name))
    ]
    if unknown := sorted(named - known):
        found.append(f"there is no role {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    if "openid" not in settings.scopes:
        found.append("scopes: openid has to be among them")
    if settings.roles and not settings.roles_claim:
        found.append("roles_claim: name the claim that roles go by")
    source = settings.client_secret
    if source is not None and bool(source.env) == bool(source.file):
        found.append("client_secret: name env or file")
    return found
