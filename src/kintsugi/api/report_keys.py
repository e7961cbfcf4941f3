"""What makes genuine: a link for people outside, the address of a report's state, and a delivery of
a machine."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kintsugi.api.control import Control
from kintsugi.errors import NotFound, Unauthenticated
from kintsugi.ledger.log_keys import derived_keys
from kintsugi.model.report_doors import ReportLink, Signing, Source, UsedLink

_NONCE_BYTES: Final = 12
_SECRET_BYTES: Final = 32
_TOLERANCE: Final = timedelta(minutes=5)  # of Standard Webhooks
_GONE: Final = "This link does not work (any more). Ask whoever gave it to you for a new one."


class _Claim(msgspec.Struct, array_like=True):
    link: str
    audience: str
    expires: int


def link_text(control: Control, link: ReportLink) -> str:
    """The secret part of a link's address: what it is for, and our signature."""
    claim = _encoded(
        msgspec.json.encode(_Claim(link.id, link.audience, int(link.expires_at.timestamp())))
    )
    return f"{claim}.{_signature(control, 'report link', claim)}"


def opened_link(control: Control, text: str) -> UsedLink:
    """The link that a text stands for.

    Raises:
        NotFound: it is forged, expired, revoked or unknown; which one is not told.
    """
    claim, _, signature = text.partition(".")
    if not _genuine(control, "report link", claim, signature):
        raise NotFound(_GONE)
    told = msgspec.json.decode(_decoded(claim), type=_Claim)
    now = control.clock()
    if now.timestamp() >= told.expires:
        raise NotFound(_GONE)
    try:
        found = control.stores.report_doors.link(told.link)
    except NotFound:
        raise NotFound(_GONE) from None
    if found.link.revoked_at is not None or found.link.audience != told.audience:
        raise NotFound(_GONE)
    return found


def status_text(control: Control, report_id: str) -> str:
    """The secret part of the address that shows a report's state, and nothing else."""
    return f"{report_id}.{_signature(control, 'report status', report_id)}"


def report_of_status(control: Control, text: str) -> str:
    """The report whose state an address shows.

    Raises:
        NotFound: it is forged.
    """
    report_id, _, signature = text.partition(".")
    if not _genuine(control, "report status", report_id, signature):
        raise NotFound("There is no report at this address; look whether it was copied whole.")
    return report_id


def new_secret(signing: Signing) -> str:
    """A secret in the form that those who sign so expect."""
    if signing == "standard-webhooks":
        return f"whsec_{base64.b64encode(os.urandom(_SECRET_BYTES)).decode()}"
    return os.urandom(_SECRET_BYTES).hex()


def seal_secret(control: Control, source: str, secret: str) -> str:
    """A source's secret as it is stored."""
    key = derived_keys(control.log_key_file, "report source")[0]
    nonce = os.urandom(_NONCE_BYTES)
    sealed = AESGCM(key).encrypt(nonce, secret.encode(), source.encode())
    return base64.b64encode(nonce + sealed).decode()


def check_signature(
    control: Control, source: Source, headers: Mapping[str, str], body: bytes
) -> None:
    """Refuse a delivery that does not carry the source's signature.

    Raises:
        Unauthenticated: it is missing, wrong or too old; which one is not told.
    """
    secret = _open_secret(control, source)
    if not secret or not _signed(source.signing, secret, headers, body, now=control.clock()):
        raise Unauthenticated(
            f'This delivery does not carry the signature of source "{source.name}".'
        )


def _signed(
    signing: Signing, secret: str, headers: Mapping[str, str], body: bytes, *, now: datetime
) -> bool:
    match signing:
        case "pagerduty":
            wanted = f"v1={_hex(secret, body)}"
            given = headers.get("x-pagerduty-signature", "").split(",")
        case "sha256":
            wanted = f"sha256={_hex(secret, body)}"
            given = [headers.get("x-hub-signature-256", "")]
        case "standard-webhooks":
            name, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
            if not name or not _recent(at, now=now):
                return False
            digest = hmac.digest(_webhook_key(secret), f"{name}.{at}.".encode() + body, "sha256")
            wanted = f"v1,{base64.b64encode(digest).decode()}"
            given = headers.get("webhook-signature", "").split(" ")
        case "":
            return False
    return any(hmac.compare_digest(one.strip().encode(), wanted.encode()) for one in given)


def _recent(at: str, *, now: datetime) -> bool:
    if not at.isascii() or not at.isdecimal() or len(at) > 12:
        return False
    return abs(now - datetime.fromtimestamp(int(at), UTC)) <= _TOLERANCE


def _webhook_key(secret: str) -> bytes:
    text = secret.removeprefix("whsec_")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return secret.encode()


def _hex(secret: str, body: bytes) -> str:
    return hmac.digest(secret.encode(), body, hashlib.sha256).hex()


def _open_secret(control: Control, source: Source) -> str:
    if not source.sealed_secret:
        return ""
    sealed = base64.b64decode(source.sealed_secret)
    for key in derived_keys(control.log_key_file, "report source"):
        try:
            opened = AESGCM(key).decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], source.name.encode()
            )
        except InvalidTag:
            continue
        return opened.decode()
    return ""


def _signature(control: Control, purpose: str, text: str) -> str:
    key = derived_keys(control.log_key_file, purpose)[0]
    return _encoded(hmac.digest(key, text.encode(), "sha256"))


def _genuine(control: Control, purpose: str, text: str, signature: str) -> bool:
    keys = derived_keys(control.log_key_file, purpose)
    wanted = [_encoded(hmac.digest(key, text.encode(), "sha256")) for key in keys]
    return any(hmac.compare_digest(one.encode(), signature.encode()) for one in wanted)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
