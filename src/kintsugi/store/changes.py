"""What other processes committed, heard on a connection of its own."""

from __future__ import annotations

import select
import socket
import threading
import time
from typing import Final

import psycopg

from kintsugi.store.connections import Connection

CHANNELS: Final = (
    *("events", "configurations", "gateways", "exports", "oversight", "signals"),
    *("vault", "incidents", "notices", "archives", "retention"),
)
_RETRY_SECONDS: Final = 0.5


class PostgresChanges:
    """The listener of the protocol in ``model/stores.py``. One thread waits, any may close.

    After a lost connection everything counts as changed, because nobody knows what was missed.
    """

    def __init__(self, conninfo: str) -> None:
        """Listen at once where possible, so that nothing from now on is missed."""
        self._conninfo = conninfo
        self._woken, self._wake = socket.socketpair()
        self._closed = threading.Event()
        self._waiting = threading.Lock()
        self._connection: Connection | None = None
        self._missed: frozenset[str] = frozenset()
        self._connect()
        self._missed = frozenset()

    def wait(self, *, timeout_seconds: float) -> frozenset[str]:
        deadline = time.monotonic() + timeout_seconds
        with self._waiting:
            while not self._closed.is_set():
                if self._connection is None and not self._connect():
                    self._sleep(min(_RETRY_SECONDS, deadline - time.monotonic()))
                if changed := self._take():
                    return changed
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                if self._connection is not None:
                    self._sleep(left, self._connection.fileno())
        return frozenset()

    def close(self) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        self._wake.close()
        with self._waiting:  # whoever waits has left by now, or is about to
            self._disconnect()
            self._woken.close()

    def _take(self) -> frozenset[str]:
        """What is there to be told now, without waiting."""
        changed, self._missed = set(self._missed), frozenset()
        if self._connection is not None:
            try:
                self._connection.pgconn.consume_input()
                while (notice := self._connection.pgconn.notifies()) is not None:
                    changed.add(notice.relname.decode().removeprefix("kt_"))
            except psycopg.OperationalError:
                self._disconnect()
        return frozenset(changed)

    def _connect(self) -> bool:
        try:
            self._connection = psycopg.connect(self._conninfo, autocommit=True)
            for channel in CHANNELS:
                self._connection.execute(f"LISTEN kt_{channel}".encode())
        except psycopg.OperationalError:
            self._disconnect()
            return False
        self._missed = frozenset(CHANNELS)
        return True

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _sleep(self, seconds: float, *descriptors: int) -> None:
        """Until one of these can be read, somebody closes, or the time is over."""
        select.select([self._woken.fileno(), *descriptors], [], [], max(0.0, seconds))
