"""Sessions of MCP servers as the gateway hands them to clients.

A client never sees the id that the server gave. It gets that id sealed, with the caller's identity
and the server's name bound in: nobody else can use it, on no other server, and nobody can make one
up. Workers share the key, so a session may go on at any of them and survives a restart; nothing is
stored.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from kintsugi.model.content import Identity

# Visible ASCII, says the specification ("Session Management"); the length is ours.
SESSION_BYTES_MAX = 1024
_SEALED_BYTES_MAX = 2 * SESSION_BYTES_MAX + 512
_NONCE_BYTES = 12


class Session(msgspec.Struct, frozen=True, array_like=True):
    """What a sealed session id holds.

    Attributes:
        upstream_id: the server's own session id.
    """

    upstream_id: str

    @property
    def label(self) -> str:
        """Names the session in records without giving its id away."""
        return "mcp-" + hashlib.sha256(self.upstream_id.encode()).hexdigest()[:24]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Session).decode


class SessionSeal:
    """Seals and opens session ids.

    Args:
        secret: the gateway's own key; see ``Facts.fingerprint_key``.
    """

    def __init__(self, secret: bytes) -> None:
        key = hashlib.blake2b(secret, digest_size=32, person=b"kt mcp session").digest()
        self._cipher = ChaCha20Poly1305(key)

    def seal(self, session: Session, *, server_id: str, caller: Identity, event_id: str) -> bytes:
        """The session id for the client.

        Args:
            event_id: of the exchange that opened the session; no two are the same, so no nonce is
                used twice.
        """
        nonce = hashlib.blake2b(event_id.encode(), digest_size=_NONCE_BYTES).digest()
        sealed = self._cipher.encrypt(nonce, _encode(session), _bound_to(server_id, caller))
        return urlsafe_b64encode(nonce + sealed).rstrip(b"=")

    def open(self, sealed: bytes, *, server_id: str, caller: Identity) -> Session | None:
        """The session behind an id; None when it is not this caller's on this server."""
        if not sealed or len(sealed) > _SEALED_BYTES_MAX:
            return None
        try:
            raw = urlsafe_b64decode(sealed + b"=" * (-len(sealed) % 4))
            if urlsafe_b64encode(raw).rstrip(b"=") != sealed:
                return None  # one session has one spelling
            bound = _bound_to(server_id, caller)
            return _decode(self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], bound))
        except (ValueError, InvalidTag, msgspec.DecodeError):
            return None


def _bound_to(server_id: str, caller: Identity) -> bytes:
    bound = (server_id, caller.key_name, caller.user_id, caller.team_id)
    # Sessions of callers without a tenant stay those that were sealed before there were any.
    return msgspec.json.encode((*bound, caller.tenant_id) if caller.tenant_id else bound)


def usable(upstream_id: bytes) -> bool:
    """Whether a server's session id may be sent back to it in a header."""
    return 0 < len(upstream_id) <= SESSION_BYTES_MAX and all(0x21 <= c <= 0x7E for c in upstream_id)
