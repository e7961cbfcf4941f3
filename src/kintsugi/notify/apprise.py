"""Messages to chats, pagers and mailboxes: Apprise, held at arm's length (``apprise_child``)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import datetime
from importlib.util import find_spec
from typing import Final

import msgspec

from kintsugi.errors import InvalidInput
from kintsugi.model.notify import Try
from kintsugi.notify.apprise_child import LOCAL, Job, Outcome
from kintsugi.notify.messages import Message

TIMEOUT_SECONDS: Final = 45.0
_ENVIRONMENT: Final = ("LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")


def look(url: str) -> Outcome:
    """What kind of service a URL is, and how it may be shown.

    Raises:
        InvalidInput: none that can be used. The message does not hold the URL.
    """
    scheme = url.partition(":")[0].lower()
    if "://" not in url or scheme in LOCAL:
        raise InvalidInput(
            "body.url: send a URL as Apprise knows it, such as slack://... or mailtos://...; "
            "services of this machine itself are not used"
        )
    found = _run(Job(url))
    if found.error:
        raise InvalidInput(f"body.url: {found.error}; see docs/notices.md")
    return found


def send(url: str, message: Message, *, allow_private_network: bool, now: datetime) -> Try:
    """Send it once; whatever happens is in the answer."""
    began = time.monotonic()
    job = Job(url, message.title, message.body or message.title, allow_private_network)
    outcome = _run(job)
    duration = round((time.monotonic() - began) * 1000)
    return Try(at=now, error=outcome.error, duration_ms=duration)


def _run(job: Job) -> Outcome:
    if find_spec("apprise") is None:
        return Outcome("Apprise is not installed: pip install kintsugi[channels]")
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-m", "kintsugi.notify.apprise_child"],
            input=msgspec.json.encode(job),
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
            # No proxies: the address that is checked is the one that is meant.
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        )
        return msgspec.json.decode(done.stdout, type=Outcome)
    except subprocess.TimeoutExpired:
        return Outcome(f"nothing was sent within {TIMEOUT_SECONDS:g} seconds")
    except (OSError, msgspec.MsgspecError):
        return Outcome("the process that sends messages failed")
