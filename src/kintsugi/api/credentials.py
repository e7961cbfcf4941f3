"""Access tokens: ``kt_<id>_<secret>``. Only the SHA-256 of the secret is ever kept."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import structlog

from kintsugi.api.permissions import GATEWAY_SCOPES, Role, Scope
from kintsugi.durable import write_whole
from kintsugi.model.stores import Stores
from kintsugi.model.tokens import Token, TokenStore

log = structlog.get_logger(__name__)

_FORM = re.compile(r"kt_([0-9a-z]{1,32})_([0-9a-f]{64})")

ADMIN_FILE = "admin-token"
GATEWAY_FILE = "gateway-token"
SESSION_FILE = "session-secret"


def mint(
    name: str,
    scopes: Sequence[Scope],
    *,
    now: datetime,
    expires_at: datetime | None = None,
    roles: Sequence[Role] = (),
    user: str = "",
    owner: str = "",
) -> tuple[Token, str]:
    """A new token and its text; the text exists nowhere else."""
    token_id = secrets.token_hex(6)
    text = f"kt_{token_id}_{secrets.token_hex(32)}"
    return (
        Token(
            id=token_id,
            name=name,
            scopes=tuple(scope.value for scope in scopes),
            created_at=now,
            expires_at=expires_at,
            roles=tuple(role.value for role in roles),
            user=user,
            owner=owner,
        ),
        text,
    )


def secret_sha256(text: str) -> str | None:
    """The hash under which the token with this text is kept; None where it is no token."""
    parts = _FORM.fullmatch(text)
    return hashlib.sha256(parts[2].encode()).hexdigest() if parts else None


def keep(store: TokenStore, token: Token, text: str) -> None:
    """Save a minted token by the hash of its secret."""
    digest = secret_sha256(text)
    if digest is None:
        raise ValueError("not the text of a token")
    store.add(token, secret_sha256=digest)


def ensure_first_tokens(stores: Stores, state_dir: Path, *, now: datetime) -> None:
    """Leave a working token for the operator and one for gateways in the state folder.

    A file whose token this store knows stays as it is. The texts are written to files that only
    the owner can read, and nowhere else.
    """
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    wanted = {
        ADMIN_FILE: ("first admin", (Scope.ADMIN,)),
        GATEWAY_FILE: ("first gateway", GATEWAY_SCOPES),
    }
    for file, (name, scopes) in wanted.items():
        path = state_dir / file
        if _works(stores.tokens, path, now):
            continue
        token, text = mint(name, scopes, now=now)
        keep(stores.tokens, token, text)
        write_whole(path, f"{text}\n".encode())
        log.info("token.created", token_id=token.id, name=name, file=str(path))


def session_secret(state_dir: Path) -> bytes:
    """The key that signs console sessions; made on first use."""
    path = state_dir / SESSION_FILE
    if not path.exists():
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, f"{secrets.token_hex(32)}\n".encode())
    return bytes.fromhex(path.read_text().strip())


def _works(store: TokenStore, path: Path, now: datetime) -> bool:
    try:
        digest = secret_sha256(path.read_text().strip())
    except FileNotFoundError:
        return False
    token = store.find(digest) if digest else None
    return token is not None and usable(token, now)


def usable(token: Token, now: datetime) -> bool:
    """Neither revoked nor expired."""
    return token.revoked_at is None and (token.expires_at is None or now < token.expires_at)
