"""The supervisor of ``kt up``: restarts with patience, stops in order, dies with nobody left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kintsugi.cli.runfile import alive
from kintsugi.cli.supervise import (
    RESTART_DELAY_SECONDS_MAX,
    Child,
    Part,
    Supervisor,
    restart_delay_seconds,
)

SLEEPER = "import time; time.sleep(60)"


def part(tmp_path: Path, name: str, program: str, *, stop_seconds: float = 5.0) -> Part:
    return Part(name, (sys.executable, "-c", program), tmp_path / f"{name}.log", stop_seconds)


def supervisor(*parts: Part) -> tuple[Supervisor, list[str]]:
    told: list[str] = []

    def tell(child: Child, what: str) -> None:
        told.append(f"{child.part.name} {what}")

    return Supervisor(parts, tell), told


def test_the_first_restart_is_immediate_and_later_ones_wait_longer() -> None:
    delays = [restart_delay_seconds(crashes) for crashes in range(1, 12)]
    assert delays[0] == 0
    assert delays == sorted(delays)
    assert delays[-1] == RESTART_DELAY_SECONDS_MAX


@pytest.mark.alone
def test_a_killed_part_is_started_again_at_once(tmp_path: Path) -> None:
    watched, told = supervisor(part(tmp_path, "gateway", SLEEPER))
    with watched.signals():
        watched.start()
        first = watched.children[0].pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        began = time.monotonic()
        while not watched.children[0].restarts:
            watched.watch(5.0)
        assert time.monotonic() - began < 2
        second = watched.children[0].pid
        assert watched.stop(["gateway"]) == []
    assert second not in (None, first)
    assert told == [
        "gateway started",
        "gateway was killed by SIGKILL",
        "gateway started",
    ]


def test_a_part_that_keeps_failing_is_given_time(tmp_path: Path) -> None:
    watched, _ = supervisor(part(tmp_path, "server", "raise SystemExit(1)"))
    with watched.signals():
        watched.start()
        while watched.children[0].crashes < 3:
            watched.watch(5.0)
        child = watched.children[0]
        assert child.exit_code == 1
        assert child.pid is None
        assert child.due_at > watched.clock()
        assert watched.stop(["server"]) == []


def test_parts_stop_in_the_order_given_and_the_stubborn_are_killed(tmp_path: Path) -> None:
    stubborn = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('up', flush=True)\n"
        "time.sleep(60)"
    )
    watched, _ = supervisor(
        part(tmp_path, "server", SLEEPER), part(tmp_path, "gateway", stubborn, stop_seconds=0.3)
    )
    with watched.signals():
        watched.start()
        pids = [child.pid for child in watched.children]
        while "up" not in (tmp_path / "gateway.log").read_text():
            watched.watch(0.05)
        assert watched.stop(["gateway", "server"]) == ["gateway"]
    assert not any(alive(pid) for pid in pids if pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_sleep(tmp_path: Path, number: signal.Signals) -> None:
    watched, _ = supervisor(part(tmp_path, "gateway", SLEEPER))
    with watched.signals():
        watched.start()
        os.kill(os.getpid(), number)
        while not watched.stopping:
            watched.watch(60.0)
        watched.stop(["gateway"])


def test_what_a_part_says_is_in_its_log(tmp_path: Path) -> None:
    watched, _ = supervisor(part(tmp_path, "server", "import sys; sys.exit('no database')"))
    with watched.signals():
        watched.start()
        while not watched.children[0].crashes:
            watched.watch(5.0)
        watched.stop(["server"])
    assert "no database" in (tmp_path / "server.log").read_text()


def test_parts_do_not_outlive_a_parent_that_was_killed(tmp_path: Path) -> None:
    """The kernel closes the pipe whatever happened to the parent; the part sees it."""
    orphan = (
        "import os, threading\n"
        "from kintsugi.cli.supervise import stop_when_stdin_closes\n"
        "threading.Thread(target=stop_when_stdin_closes, args=(lambda: os._exit(0),)).start()"
    )
    parent = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from kintsugi.cli.supervise import Part, Supervisor\n"
        f"part = Part('p', (sys.executable, '-c', {orphan!r}), Path({str(tmp_path)!r}) / 'l', 1)\n"
        "s = Supervisor([part], lambda c, w: None)\n"
        "s.start()\n"
        "print(s.children[0].pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert alive(pid)
        process.kill()
    deadline = time.monotonic() + 10
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    """Whether it exists and is not a zombie that nobody has reaped yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
