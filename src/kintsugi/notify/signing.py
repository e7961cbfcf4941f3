"""Signatures of Standard Webhooks (https://www.standardwebhooks.com): HMAC-SHA256 over id, time and
body, so that nobody can make one up, change one, or send an old one again. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from kintsugi.errors import InvalidInput

_PREFIX: Final = "whsec_"
_KEY_BYTES: Final = 32
_KEY_BYTES_MIN, _KEY_BYTES_MAX = 24, 64  # the specification's bounds


def make_secret() -> str:
    """A new secret, as receivers put it into their library."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()


def check_secret(text: str) -> str:
    """A secret that somebody brings along, as it is stored.

    Raises:
        InvalidInput: it is no ``whsec_`` secret of 24 to 64 bytes. The message does not hold it.
    """
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(_PREFIX) or not _KEY_BYTES_MIN <= len(key) <= _KEY_BYTES_MAX:
        raise InvalidInput(
            "body.secret: send whsec_ and Base64 of 24 to 64 random bytes, or leave it out and get "
            "one made"
        )
    return text


def headers(
    message_id: str, body: bytes, signing: Sequence[str], *, now: datetime
) -> dict[str, str]:
    """What goes with a body.

    Args:
        signing: secrets; each gives one signature, so that a receiver may know either.
    """
    timestamp = str(int(now.timestamp()))
    content = f"{message_id}.{timestamp}.".encode() + body
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(_sign(secret, content) for secret in signing),
    }


def _sign(secret: str, content: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    digest = hmac.new(key, content, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
