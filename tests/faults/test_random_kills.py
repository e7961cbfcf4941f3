"""Any process killed at any moment, again and again, under load.

A few kills in CI; `KT_FAULT_KILLS=210` is the profile that docs/benchmarks.md tells of.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from contextlib import suppress
from typing import Any

import pytest

from tests.acceptance.conftest import Instance, eventually, new_instance
from tests.faults.load import Load, everything_holds
from tests.ports import free_port

KILLS = int(os.environ.get("KT_FAULT_KILLS", "6"))
SEED = int(os.environ.get("KT_FAULT_SEED", "0")) or random.randrange(1, 2**32)

pytestmark = [
    pytest.mark.faults,
    pytest.mark.acceptance,
    pytest.mark.timeout(120 + 30 * KILLS),
]

# How often each part dies, of all that die.
PARTS = {"worker": 8, "gateway": 4, "server": 4, "database": 3, "up": 1}


def test_whatever_is_killed_whenever_every_answer_has_its_record() -> None:
    chance = random.Random(SEED)
    ports = ("--gateway-port", str(free_port()), "--api-port", str(free_port()))
    killed: dict[str, int] = dict.fromkeys(PARTS, 0)
    history: list[str] = []
    began = time.monotonic()
    with new_instance("--workers", "2", *ports) as instance:
        instance.start()
        load = Load(instance, pause_seconds=0.05)
        load.start()
        try:
            while (number := sum(killed.values())) < KILLS:
                load.wait_for(5, within_seconds=90)
                time.sleep(chance.uniform(0, 0.4))
                part = chance.choices(list(PARTS), list(PARTS.values()))[0]
                killed[part] += kill(instance, part, chance)
                history.append(part)
                if number % 25 == 24:
                    say(f"{number + 1} of {KILLS}: {killed}, {len(load.answered)} answered")
            load.wait_for(20, within_seconds=90)
        except AssertionError:
            say(f"after {history[-12:]}\n{instance.kt('status').out}\n{instance.logs()}")
            raise
        finally:
            load.stop()
        eventually(lambda: instance.api("/v1/events"), within_seconds=60)
        everything_holds(instance, load.answered, within_seconds=120)
        say(
            f"seed {SEED}: {sum(killed.values())} kills {killed} in "
            f"{time.monotonic() - began:.0f} s; {len(load.answered)} whole answers, "
            f"{load.failures} refused or cut; every answer has its record"
        )


def say(text: str) -> None:
    """For whoever waits for the long profile (`pytest -s`)."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def kill(instance: Instance, part: str, chance: random.Random) -> bool:
    """Kill one process of this part; False when there is none at the moment."""
    ran = instance.kt("status", "--json")
    if not ran.out:
        return False
    pids: dict[str, Any] = ran.json["pids"]
    pid = chance.choice(pids["gateway_workers"] or [None]) if part == "worker" else pids[part]
    if pid is None:
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    if part == "up":
        eventually(lambda: instance.kt("status").code == 1, within_seconds=30)
        eventually(
            lambda: instance.kt("up", *_start_options(instance)).code == 0, within_seconds=90
        )
    return True


def _start_options(instance: Instance) -> tuple[str, ...]:
    return ("--state", str(instance.state), *instance.options, "--detach")
