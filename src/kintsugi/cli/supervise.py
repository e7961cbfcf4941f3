"""Keeps the parts of ``kt up`` running: start, watch, restart with patience, stop in order.

Sleeps in one ``select`` and wakes on a signal or when a restart is due, so a killed part is seen
at once and a quiet instance costs nothing.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

RESTART_DELAY_SECONDS_MAX = 10.0
CALM_SECONDS = 30.0  # a part that ran so long starts with a clean record
LOG_BYTES_MAX = 50_000_000


@dataclass(frozen=True, slots=True)
class Part:
    """One child process.

    Attributes:
        stop_seconds: how long it may take to stop before it is killed.
    """

    name: str
    command: tuple[str, ...]
    log: Path
    stop_seconds: float


@dataclass(slots=True)
class Child:
    """A part and the process that plays it at the moment.

    Attributes:
        crashes: in a row, since it last ran for long.
        exit_code: of the process before; negative for a signal.
    """

    part: Part
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    crashes: int = 0
    restarts: int = 0
    due_at: float = 0.0
    exit_code: int | None = None

    @property
    def pid(self) -> int | None:
        """Process id; None while it waits for its restart."""
        return self.process.pid if self.process else None


def restart_delay_seconds(crashes: int) -> float:
    """How long to wait before the next start, after so many crashes in a row.

    The first restart is immediate: a single crash must not cost a client more than it has to.
    """
    return 0.0 if crashes <= 1 else min(0.25 * 2.0 ** (crashes - 2), RESTART_DELAY_SECONDS_MAX)


@dataclass(slots=True)
class Supervisor:
    """Runs parts until told to stop.

    Attributes:
        on_change: called after every start and every death, with the child and what happened. It
            may set ``stopping``; then nothing is started again.
    """

    parts: Sequence[Part]
    on_change: Callable[[Child, str], None]
    clock: Callable[[], float] = time.monotonic
    stopping: bool = False
    _children: list[Child] = field(default_factory=list)
    _wake: socket.socket | None = None

    @property
    def children(self) -> Sequence[Child]:
        """In the order in which they were started."""
        return self._children

    def start(self) -> None:
        """Start every part at once; none waits for another."""
        self._children = [Child(part) for part in self.parts]
        for child in self._children:
            self._spawn(child)

    def watch(self, timeout_seconds: float) -> None:
        """Sleep until a signal, a restart that is due, or the timeout; then restart what died."""
        now = self.clock()
        due = [child.due_at - now for child in self._children if child.process is None]
        self._sleep(max(0.0, min([timeout_seconds, *due])))
        if self.stopping:
            return
        for child in self._children:
            self._tend(child)

    def stop(self, order: Sequence[str]) -> list[str]:
        """Stop part after part; the names of those that had to be killed."""
        by_name = {child.part.name: child for child in self._children}
        return [name for name in order if name in by_name and not self._end(by_name[name])]

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Turn SIGINT and SIGTERM into ``stopping``; a second one kills at once."""
        reader, writer = socket.socketpair()
        writer.setblocking(False)
        reader.setblocking(False)
        self._wake = reader
        before_wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        # SIGCHLD needs a handler too: without one Python never writes to the wake-up socket.
        handlers = {
            signal.SIGINT: self._on_stop,
            signal.SIGTERM: self._on_stop,
            signal.SIGCHLD: _ignore,
        }
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before_wakeup)
            self._wake = None
            reader.close()
            writer.close()

    def _on_stop(self, number: int, _frame: FrameType | None) -> None:
        if self.stopping and number == signal.SIGINT:
            self._kill_all()
        self.stopping = True

    def _kill_all(self) -> None:
        for child in self._children:
            if child.process and child.process.poll() is None:
                child.process.kill()

    def _tend(self, child: Child) -> None:
        if child.process is None:
            if self.clock() >= child.due_at:
                child.restarts += 1
                self._spawn(child)
            return
        code = child.process.poll()
        if code is None:
            return
        self._forget(child)
        child.exit_code = code
        ran_seconds = self.clock() - child.started_at
        child.crashes = 1 if ran_seconds >= CALM_SECONDS else child.crashes + 1
        delay = restart_delay_seconds(child.crashes)
        child.due_at = self.clock() + delay
        self.on_change(child, _ended(code))
        if self.stopping:  # on_change had enough
            return
        if delay == 0:
            self._tend(child)
        else:
            self.on_change(child, f"starts again in {delay:g} s")

    def _spawn(self, child: Child) -> None:
        part = child.part
        part.log.parent.mkdir(parents=True, exist_ok=True)
        if part.log.exists() and part.log.stat().st_size > LOG_BYTES_MAX:
            part.log.replace(part.log.with_suffix(".log.1"))
        with part.log.open("ab") as log:
            # A session of its own: Ctrl-C reaches only us, and we stop the parts in order. The
            # pipe on stdin closes with us, however we die (options.WithParentOption).
            child.process = subprocess.Popen(  # noqa: S603 - our own program, no shell
                part.command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        child.started_at = self.clock()
        self.on_change(child, "started")

    def _end(self, child: Child) -> bool:
        """Whether it stopped by itself, in time."""
        if child.process is None:
            return True
        child.process.terminate()
        deadline = self.clock() + child.part.stop_seconds
        while child.process.poll() is None and self.clock() < deadline:
            self._sleep(min(0.2, deadline - self.clock()))
        in_time = child.process.poll() is not None
        if not in_time:
            child.process.kill()
            child.process.wait()
        self._forget(child)
        return in_time

    @staticmethod
    def _forget(child: Child) -> None:
        if child.process and child.process.stdin:
            child.process.stdin.close()
        child.process = None

    def _sleep(self, seconds: float) -> None:
        if self._wake is None:
            time.sleep(seconds)
            return
        if select.select([self._wake], [], [], max(0.0, seconds))[0]:
            self._wake.recv(4096)


def stop_when_stdin_closes(stop: Callable[[], None]) -> None:
    """Block until the other end of standard input is gone, then stop. For a thread of its own."""
    while os.read(0, 4096):
        pass
    stop()


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """A signal that only has to wake the sleeper."""
