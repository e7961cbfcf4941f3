"""The sockets that a gateway listens on: one for each worker, all on one port."""

from __future__ import annotations

import socket

_BACKLOG = 4096


def bind(host: str, port: int, count: int) -> list[socket.socket]:
    """Listening sockets that share one port; port 0 takes a free one.

    Raises:
        OSError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listeners: list[socket.socket] = []
    for _ in range(count):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listeners.append(listener)
        try:
            if not listeners[:-1]:
                refuse_shared(family, host, port)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind((host, port))
            listener.listen(_BACKLOG)
        except OSError:
            for opened in listeners:
                opened.close()
            raise
        port = listener.getsockname()[1]
    return listeners


def refuse_shared(family: int, host: str, port: int) -> None:
    """Fail when somebody listens there already: SO_REUSEPORT would quietly share with them.

    Raises:
        OSError: the address is in use.
    """
    if port:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
