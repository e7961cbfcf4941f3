"""How long ``kt up`` takes to its first governed answer, on a new state folder and on a used one.

    python -m benchmarks.start [--rounds 3]

Each round makes a state folder, starts ``kt up`` on it with free ports, and asks for a chat
completion through the gateway again and again until it is answered 200; it goes on until
everything is ready, the database included, stops it as a person would, and starts once more on the
same folder. The clock runs from the start of the process. Read it on a quiet machine: starting is
work for the processor.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

BUDGET_SECONDS = {"new state": 6.0, "used state": 3.0}
SECONDS_MAX = 60.0
POLL_SECONDS = 0.01
QUESTION = {"model": "sim-echo", "messages": [{"role": "user", "content": "Where is my parcel?"}]}


class Started(NamedTuple):
    """Seconds from the start of the process."""

    first_answer: float
    all_ready: float


def start(state: Path, log: Path) -> Started:
    """Start, wait for the first governed answer and for everything else, stop."""
    options = ["--state", str(state), "--gateway-port", "0", "--api-port", "0"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("KT_")}
    began = time.monotonic()
    with (
        log.open("ab") as said,
        subprocess.Popen(
            [sys.executable, "-m", "kintsugi", "up", *options],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env=environ,
            start_new_session=True,
        ) as process,
    ):

        def seconds_until(happened: Callable[[dict[str, Any]], bool]) -> float:
            while not ((up := said_by(process.pid, state)) and happened(up)):
                if process.poll() is not None or time.monotonic() - began > SECONDS_MAX:
                    raise SystemExit(f"kt up does not start:\n{log.read_text(errors='replace')}")
                time.sleep(POLL_SECONDS)
            return time.monotonic() - began

        try:
            first_answer = seconds_until(lambda up: answers(up["gateway_url"]))
            return Started(first_answer, seconds_until(lambda up: bool(up["ready"])))
        finally:
            process.send_signal(signal.SIGTERM)


def said_by(pid: int, state: Path) -> dict[str, Any]:
    """What this process says about itself; empty when it has not, or only one before it has."""
    try:
        up: dict[str, Any] = json.loads((state / "run/up.json").read_bytes())
    except FileNotFoundError:
        return {}
    return up if up["pid"] == pid else {}


def answers(gateway_url: str) -> bool:
    """Whether a chat completion is answered, governed."""
    request = urllib.request.Request(
        f"{gateway_url}/v1/chat/completions",
        json.dumps(QUESTION).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return bool(answer.headers["x-kt-decision"] == "allow")
    except (urllib.error.URLError, ConnectionError):
        return False


def one_round() -> tuple[Started, Started]:
    """The first start and the second one."""
    folder = Path(tempfile.mkdtemp(prefix="kt-start-"))
    folder.chmod(0o755)  # the database's own user must reach it
    try:
        state, log = folder / "state", folder / "up.log"
        return start(state, log), start(state, log)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = [one_round() for _ in range(parser.parse_args().rounds)]
    print(f"{'seconds':12} {'first answer':>18} {'everything ready':>18} {'budget':>8}")
    print(f"{'':12} {'median':>9}{'worst':>9} {'median':>9}{'worst':>9}")
    for (name, budget), starts in zip(
        BUDGET_SECONDS.items(), zip(*rounds, strict=True), strict=True
    ):
        columns = " ".join(
            f"{statistics.median(taken):9.2f}{max(taken):9.2f}"
            for taken in zip(*starts, strict=True)
        )
        print(f"{name:12} {columns} {budget:8.0f}")


if __name__ == "__main__":
    main()
