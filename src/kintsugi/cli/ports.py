"""Whether a port can be listened on, and who has it where it cannot.

The default ports lie among those that Linux gives to outgoing connections (32768 to 60999), so
what is in the way need not be a server.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from kintsugi.cli.parts import Address
from kintsugi.errors import InvalidInput

_PROC: Final = Path("/proc")
_LISTENS: Final = "0A"  # net/tcp_states.h
_TIME_WAIT: Final = "06"  # keeps nobody from listening who asks as we do


class _Socket(NamedTuple):
    listens: bool
    remote: Address
    inode: str


def free_port(address: Address) -> int | None:
    """The port, or any free one for port 0; None where somebody has it.

    Raises:
        InvalidInput: it cannot be had for another reason.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return None
            raise InvalidInput(f"{address} cannot be listened on: {error.strerror}") from error
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def listening(address: Address, what: str) -> Iterator[None]:
    """Run a program that listens there by itself; that its port is taken is told as ``taken`` does.

    Raises:
        InvalidInput: the port is taken.
    """
    try:
        yield
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise taken(address, what, f"--listen {address._replace(port=0)} takes a free one") from (
            error
        )


def taken(address: Address, what: str, instead: str) -> InvalidInput:
    """Says whose port is taken, who has it, and what to do instead (a sentence without its end)."""
    return InvalidInput(
        f"port {address.port} is taken, so the {what} cannot start: {holder_of(address.port)}. "
        f"{instead}"
    )


def holder_of(port: int) -> str:
    """Who has a port that is taken, and what can be done besides taking another one: a sentence
    without its end. As much of it as this system tells."""
    found = sorted(_sockets(port), key=lambda one: not one.listens)
    if not found:
        return f"something has it; `lsof -i :{port}` may say what"
    first = found[0]
    who = _owner(first.inode)
    if first.listens:
        return f"{who} listens on it"
    return (
        f"{who} has a connection to {first.remote} from it; wait until that ends, or have the "
        f"system give it to nobody: sysctl -w net.ipv4.ip_local_reserved_ports={port}"
    )


def _sockets(port: int) -> Iterator[_Socket]:
    """What has this port here, of those that the kernel lists (proc_net_tcp(5))."""
    for table in ("tcp", "tcp6"):
        try:
            _, *rows = Path(_PROC, "net", table).read_text(encoding="ascii").splitlines()
        except (OSError, ValueError):
            continue
        for row in rows:
            _, local, remote, state, *_more = fields = row.split()
            if _address(local).port == port and state != _TIME_WAIT:
                yield _Socket(state == _LISTENS, _address(remote), fields[9])


def _address(text: str) -> Address:
    """``0100007F:A029``: words in the machine's order, then the port."""
    host, _, port = text.partition(":")
    words = [int(host[start : start + 8], 16) for start in range(0, len(host), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    return Address(socket.inet_ntop(family, packed), int(port, 16))


def _owner(inode: str) -> str:
    """The program that holds a socket; those of other users show theirs to nobody else."""
    wanted = Path(f"socket:[{inode}]")
    for process in _PROC.glob("[0-9]*"):
        try:
            if wanted in (file.readlink() for file in Path(process, "fd").iterdir()):
                return f"{_name(process)} (process {process.name})"
        except OSError:
            continue  # it ended, or is not ours to look at
    return "a program of another user"


def _name(process: Path) -> str:
    words = Path(process, "cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
    if "kintsugi" in words[:3]:
        return "another Kintsugi"
    return Path(process, "comm").read_text(encoding="utf-8", errors="replace").strip()
