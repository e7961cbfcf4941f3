"""fdatasync in the kernel's own thread, its end reported to the event loop.

A Python thread that syncs has to win the interpreter's lock back before it can tell anybody. On a
busy core it waits for that longer than for the disk: measured at 48 % load beside other work,
median 148 ms for a sync of 0.2 ms. Linux can do the sync by itself instead (``io_submit`` with
``IOCB_CMD_FDSYNC``, since 4.18) and write to an eventfd, which the loop watches like a socket.
Where that is not to be had, ``open`` gives None and the journal's thread does it.

Source: Linux ``include/uapi/linux/aio_abi.h``; man pages io_setup(2), io_submit(2).
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import platform
import sys
from collections.abc import Callable
from typing import Any, Protocol

OnSynced = Callable[[int], None]

_FDSYNC = 3
_FLAG_EVENTFD = 1
# io_setup, io_destroy, io_getevents, io_submit
_NUMBERS = {"x86_64": (206, 207, 208, 209), "aarch64": (0, 1, 4, 2)}


class BackgroundSync(Protocol):
    """Syncs one file at a time without blocking the loop."""

    def begin(self, descriptor: int) -> None:
        """Start; the end is reported to the callback as 0 or an errno.

        Raises:
            OSError: it could not be started; nothing will be reported.
        """

    def close(self) -> None:
        """Report nothing any more."""


class _Block(ctypes.Structure):
    """``struct iocb`` on a little-endian machine."""

    _fields_ = (
        ("data", ctypes.c_uint64),
        ("key", ctypes.c_uint32),
        ("rw_flags", ctypes.c_uint32),
        ("opcode", ctypes.c_uint16),
        ("priority", ctypes.c_int16),
        ("descriptor", ctypes.c_uint32),
        ("buffer", ctypes.c_uint64),
        ("bytes", ctypes.c_uint64),
        ("offset", ctypes.c_int64),
        ("reserved", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("eventfd", ctypes.c_uint32),
    )


class _Event(ctypes.Structure):
    """``struct io_event``."""

    _fields_ = (
        ("data", ctypes.c_uint64),
        ("object", ctypes.c_uint64),
        ("result", ctypes.c_int64),
        ("result2", ctypes.c_int64),
    )


class KernelSync:
    """Linux AIO with room for one sync. Belongs to the loop's thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_synced: OnSynced,
        numbers: tuple[int, int, int, int],
    ) -> None:
        self._loop = loop
        self._on_synced = on_synced
        self._setup, self._destroy, self._get_events, self._submit = numbers
        # PyDLL: none of these calls blocks here, and giving up the interpreter's lock around
        # each would cost more than the call.
        self._syscall: Any = ctypes.PyDLL(None, use_errno=True).syscall
        self._context = ctypes.c_ulong(0)
        self._call(self._setup, ctypes.c_uint(1), ctypes.byref(self._context))
        self._eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._block = _Block(opcode=_FDSYNC, flags=_FLAG_EVENTFD, eventfd=self._eventfd)
        self._blocks = (ctypes.POINTER(_Block) * 1)(ctypes.pointer(self._block))
        self._event = _Event()
        loop.add_reader(self._eventfd, self._ended)

    @classmethod
    def open(cls, loop: asyncio.AbstractEventLoop, on_synced: OnSynced) -> BackgroundSync | None:
        """One for this loop; None where the machine, the kernel or its rules do not allow it."""
        numbers = _NUMBERS.get(platform.machine())
        if sys.platform != "linux" or sys.byteorder != "little" or numbers is None:
            return None
        try:
            return cls(loop, on_synced, numbers)
        except OSError:
            return None

    def begin(self, descriptor: int) -> None:
        """See ``BackgroundSync``."""
        self._block.descriptor = descriptor
        self._call(self._submit, self._context, ctypes.c_long(1), self._blocks)

    def close(self) -> None:
        """See ``BackgroundSync``. Waits for a sync under way, as the kernel does."""
        self._loop.remove_reader(self._eventfd)
        os.close(self._eventfd)
        self._call(self._destroy, self._context)

    def _ended(self) -> None:
        try:
            os.eventfd_read(self._eventfd)
        except BlockingIOError:
            return
        found = self._call(
            self._get_events,
            self._context,
            ctypes.c_long(1),
            ctypes.c_long(1),
            ctypes.byref(self._event),
            None,
        )
        if found:
            self._on_synced(-self._event.result)

    def _call(self, number: int, *arguments: Any) -> int:
        result = int(self._syscall(ctypes.c_long(number), *arguments))
        if result < 0:
            code = ctypes.get_errno() or errno.EIO
            raise OSError(code, os.strerror(code))
        return result
