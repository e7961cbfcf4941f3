"""How much work something is, for tests that it does not grow faster than its input.

CPU time of this thread, so that other work on the machine does not count; the collector is off,
because its time grows with everything else that the test process holds.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable


def cpu_seconds(work: Callable[[], object], *, times: int = 2) -> float:
    """The best of so many runs."""
    found = []
    gc.disable()
    try:
        for _ in range(times):
            began = time.thread_time()
            work()
            found.append(time.thread_time() - began)
    finally:
        gc.enable()
    return min(found)
