"""Sends one message through Apprise, in a process of its own: ``python -m`` this, a job on standard
input, the outcome on standard output.

Apprise knows some 150 services and connects by itself. A process can be held to rules whatever a
plug-in does: connections only to addresses that are allowed (as numbers, so what was checked is
what is used), no programs started, an end after so many seconds. And a URL that holds a secret is
in no command line, no environment and no log.
"""

from __future__ import annotations

import io
import logging
import os
import socket
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from kintsugi.gateway.resolve import refusal

# Those that act on this machine instead of sending anything, or that fetch their settings.
LOCAL: Final = frozenset(
    {"dbus", "kde", "qt", "glib", "gnome", "macosx", "windows", "syslog", "file", "apprise"}
)
_PROGRAMS: Final = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "pty.")


class Job(msgspec.Struct, frozen=True):
    """What to do.

    Attributes:
        title, body: both empty where the URL is only looked at.
    """

    url: str
    title: str = ""
    body: str = ""
    allow_private_network: bool = False


class Outcome(msgspec.Struct, frozen=True):
    """What came of it; ``error`` is empty where it went well."""

    error: str = ""
    service: str = ""
    address: str = ""


class _Refused(Exception):
    pass


def main() -> None:
    """Read the job, do it, say what came of it."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        outcome = _do(job)
    sys.stdout.buffer.write(msgspec.json.encode(outcome))


def _do(job: Job) -> Outcome:
    from apprise import Apprise, AppriseAsset, NotifyFormat

    logging.disable(logging.CRITICAL)
    scheme = job.url.partition(":")[0].lower()
    asset = AppriseAsset(
        app_id="Kintsugi", app_desc="Kintsugi", app_url="", http_redirects=False, plugin_paths=[]
    )
    plugin = None if scheme in LOCAL else Apprise.instantiate(job.url, asset=asset)
    if plugin is None:
        return Outcome(f'"{scheme}" is no service that Apprise can reach, or its URL is not whole')
    service = str(getattr(plugin, "service_name", scheme) or scheme)
    shown = Outcome(service=service, address=masked(str(plugin.url(privacy=True))))  # type: ignore[no-untyped-call]
    if not job.body:
        return shown
    refused: list[str] = []
    _guard(refused, allow_private_network=job.allow_private_network)
    try:
        sent = bool(plugin.notify(title=job.title, body=job.body, body_format=NotifyFormat.TEXT))
    except Exception as error:  # noqa: BLE001 - other people's code; its words may hold the URL
        refused.append(f"{service}: {type(error).__name__}")
        return msgspec.structs.replace(shown, error=refused[0])
    if sent:
        return shown
    return msgspec.structs.replace(
        shown, error=refused[0] if refused else f"{service} did not take the message"
    )


def masked(url: str) -> str:
    """What may be shown of a URL that Apprise has masked as far as it knows: people put secrets
    into names, paths and parameters as well."""
    parts = urlsplit(url)
    name = "****@" if "@" in parts.netloc else ""
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{name}{host}{'/****' if parts.path.strip('/') else ''}"


def _guard(refused: list[str], *, allow_private_network: bool) -> None:
    """From here on this process connects only where it may, and starts nothing."""

    def refuse(why: str) -> None:
        refused.append(why)
        raise _Refused(why)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.connect":
            sock, address = arguments
            if sock.family not in (socket.AF_INET, socket.AF_INET6):
                refuse("only network addresses are connected to")
            try:
                reason = refusal(str(address[0]), allow_private_network=allow_private_network)
            except ValueError:
                reason = "unresolved"
            # The resolver asks its name servers over UDP, wherever they are.
            if reason and sock.type & socket.SOCK_STREAM:
                allow = "; allow it with --allow-private-network if this is meant"
                hint = allow if reason == "private" else ""
                refuse(f"it is at {address[0]}, a {reason} address{hint}")
        elif event.startswith(_PROGRAMS):
            refuse("no program is started to send a message")

    sys.addaudithook(hook)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # whatever threads a plug-in left behind
