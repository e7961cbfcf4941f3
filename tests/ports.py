"""Ports for servers that must be told theirs, or come back on the same one."""

from __future__ import annotations

import secrets
import socket

# Below all that Linux and macOS give out by themselves: one of those may be the other end of
# somebody's connection by the time that our server takes it, or takes it again.
_OURS = range(20_000, 32_000)


def free_port() -> int:
    """A port of loopback that is free now, and that nobody gets by chance."""
    while True:
        # Not `random`: that is seeded alike in all processes of a run.
        port = secrets.choice(_OURS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
