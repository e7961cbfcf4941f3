"""The lock of everything kept in memory."""

from __future__ import annotations

import threading
from typing import Final

LOCK: Final = threading.RLock()
"""One for all memory stores: together they stand for one database. They call one another while
they hold it, in every order, which with a lock for each would dead-lock."""
